//! A broker that is reachable but cannot deliver for a while: readers keep their consumers, and what these hold.

use serde_json::json;
use weir_tests::wait::within;

use super::fixture::WeirFixture;
use super::gateway::Gateway;
use super::lines::Lines;

const INPUT: &str = "flow:tg:in:one";
const OUTPUT: (&str, &str) = ("flow:tg:out:one", "gateway--one--out");

// In one thread, whose log is captured.
#[tokio::test]
async fn a_processor_keeps_its_consumer_while_messages_are_unreadable() {
    let fixture = WeirFixture::new().await;
    let (lines, _logged) = Lines::of_this_thread();
    fixture.deploy_between("echo").await;
    let host = fixture.host().await;
    fixture.start("echo", "one").await;
    fixture.send(INPUT, "1".to_owned()).await;
    fixture.until("the first message", async || fixture.depth(OUTPUT.0, OUTPUT.1).await == 1).await;
    let input = INPUT.parse().unwrap();
    let made_count = fixture.cutting.made_count(&input);

    fixture.cutting.stall();
    let error = || host.status().processors.iter().find_map(|status| status.last_error.clone());
    fixture.until("the reason in the status", async || error().is_some_and(|error| error.contains("cannot be read for a while"))).await;
    fixture.send(INPUT, "2".to_owned()).await;
    fixture.cutting.go_on();
    fixture.until("the second message", async || fixture.depth(OUTPUT.0, OUTPUT.1).await == 2).await;
    assert_eq!(fixture.cutting.made_count(&input), made_count, "it reads by the same consumer");
    let logged = lines.take("input=");
    let counts = ["input stalled", "input resumed"].map(|text| logged.iter().filter(|line| line.contains(text)).count());
    assert_eq!(counts, [1, 1], "{logged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_from_an_exit_survives_temporarily_unreadable_messages() {
    let fixture = WeirFixture::new().await;
    let gateway = Gateway::over(&fixture).await;
    fixture.deploy_between("echo").await;
    let _host = fixture.host().await;
    fixture.start("echo", "one").await;
    fixture.send(INPUT, "1".to_owned()).await;
    fixture.until("the message", async || fixture.depth(OUTPUT.0, OUTPUT.1).await == 1).await;
    let output = OUTPUT.0.parse().unwrap();
    // It cannot learn of the flow while answers are stalled.
    fixture
        .until("a gateway that knows the flow", async || {
            gateway.post("/api/v1/weir/flows/one/exits/out/take", &json!({"count": 0})).await.is_some()
        })
        .await;
    let made_count = fixture.cutting.made_count(&output);
    fixture.cutting.stall();
    let take = async {
        let mut stream = gateway.post("/api/v1/weir/flows/one/exits/out/take", &json!({"count": 1})).await.unwrap();
        let mut taken = String::new();
        // It ends only once the message is acknowledged.
        while !taken.contains("\"body\"") {
            let piece = stream.chunk().await.unwrap().expect("the message comes before the end");
            taken.push_str(std::str::from_utf8(&piece).unwrap());
            assert!(!taken.contains("error"), "{taken}");
        }
        taken
    };
    let going_on = async {
        fixture.until("a reader", async || fixture.cutting.made_count(&output) > made_count).await;
        // It is reported at least once.
        fixture.until("a stall", async || fixture.cutting.stalls_count() > 0).await;
        fixture.cutting.go_on();
    };
    let (taken, ()) = within("the message", async { tokio::join!(take, going_on) }).await;
    assert!(taken.contains("\"body\":1"), "{taken}");
    assert_eq!(fixture.cutting.made_count(&output), made_count + 1, "by the same consumer");
}
