//! The documents, executed as written: every command in them exists, runs, and prints the output below it.

mod blueprint_errors;
mod commands;
mod machines;
mod read;
mod reader;
mod samples;

use reader::Reader;

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_works_as_written() {
    Reader::in_a_checkout().follow("docs/quick-start.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operating_page_works_as_written() {
    Reader::in_a_checkout().follow("docs/operating.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blueprints_page_works_as_written() {
    Reader::in_a_checkout().follow("docs/blueprints.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sorting_example_works_as_written() {
    Reader::in_a_checkout().follow("docs/sorting.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authors_guide_works_as_written() {
    Reader::beside_a_checkout().follow("docs/writing-a-processor.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_page_works_as_written() {
    Reader::in_an_empty_folder().follow("docs/writing-a-processor/python.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_page_works_as_written() {
    Reader::in_an_empty_folder().follow("docs/writing-a-processor/javascript.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pulsar_page_works_as_written() {
    Reader::with_pulsar().await.follow("docs/pulsar.md").await;
}

/// With its own RabbitMQ node.
mod own_node {
    use super::reader::Reader;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_multi_machine_page_works_as_written() {
        Reader::with_machines().await.follow("docs/many-machines.md").await;
    }
}
