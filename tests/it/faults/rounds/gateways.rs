//! Rounds on the gateways.

use futures_util::future::join_all;
use rand::rngs::StdRng;
use weir_tests::wait::{DEADLINE, eventually};

use super::hosts::{moment, some};
use super::plan::Gateway;
use super::roles::{HOSTS, Roles};
use super::traffic::Traffic;
use super::uploads::Uploads;
use crate::faults::load::Load;

/// More than can already be in the last queue of the flow.
const NEW_COUNT: u64 = 1_000;

/// All hosts are killed and restarted while gateways are absent: they work with the components that they have.
pub(super) async fn away(roles: &mut Roles, load: &Load, away: &[Gateway], random: &mut StdRng) {
    for gateway in away {
        roles.kill_gateway(*gateway);
    }
    moment(random, 300).await;
    for host in HOSTS {
        roles.kill_host(host);
    }
    let started = some(&HOSTS, random);
    roles.start_hosts(&started).await;
    let before = load.seen_count();
    let works = || async { (load.seen_count() > before + NEW_COUNT).then_some(()) };
    eventually(DEADLINE, "messages through hosts that were started without a gateway", works).await;
    let rest: Vec<&'static str> = HOSTS.into_iter().filter(|host| !started.contains(host)).collect();
    roles.start_hosts(&rest).await;
    for host in HOSTS {
        let said = roles.host(host).said();
        assert!(!said.contains("component fetched") && !said.contains("compiling component"), "host {host}: {said}");
    }
    for gateway in away {
        roles.start_gateway(*gateway).await;
    }
}

/// A gateway is killed and restarted while components are uploaded and fetched and messages posted through both: what was confirmed is
/// there.
pub(super) async fn killed(roles: &mut Roles, load: &Load, gateway: Gateway, random: &mut StdRng) {
    let urls = Gateway::BOTH.iter().map(|gateway| roles.gateway_url(*gateway)).collect::<Vec<_>>();
    let (traffic, uploads) = (Traffic::default(), Uploads::by(urls.clone()));
    let faults = async {
        traffic.flows().await;
        moment(random, 300).await;
        roles.kill_gateway(gateway);
        moment(random, 500).await;
        roles.start_gateway(gateway).await;
        traffic.flows().await;
        traffic.end();
    };
    let posts = join_all(urls.iter().enumerate().map(|of| traffic.post(of, load)));
    let ((), _, uploaded, ()) = tokio::join!(faults, posts, uploads.upload(&traffic), uploads.fetch(&traffic));
    println!("{traffic:?}");
    uploads.are_whole(&roles.config, &uploaded).await;
}
