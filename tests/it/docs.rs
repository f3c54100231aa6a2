//! The documents, done as they are written: every command in them runs, prints what stands below it, and exists.

mod blueprint_errors;
mod commands;
mod machines;
mod read;
mod reader;
mod samples;

use reader::Reader;

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_does_what_it_says() {
    Reader::in_a_checkout().follow("docs/quick-start.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_operating_does_what_it_says() {
    Reader::in_a_checkout().follow("docs/operating.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_blueprints_does_what_it_says() {
    Reader::in_a_checkout().follow("docs/blueprints.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sorting_example_does_what_it_says() {
    Reader::in_a_checkout().follow("docs/sorting.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_authors_does_what_it_says() {
    Reader::beside_a_checkout().follow("docs/writing-a-processor.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_python_does_what_it_says() {
    Reader::in_an_empty_folder().follow("docs/writing-a-processor/python.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_javascript_does_what_it_says() {
    Reader::in_an_empty_folder().follow("docs/writing-a-processor/javascript.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_pulsar_does_what_it_says() {
    Reader::with_pulsar().await.follow("docs/pulsar.md").await;
}

/// With a RabbitMQ node of its own.
mod own_node {
    use super::reader::Reader;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_page_on_many_machines_does_what_it_says() {
        Reader::with_machines().await.follow("docs/many-machines.md").await;
    }
}
