//! The walk through the fulfilment saga, with the host and the components that `make test` builds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::ExitCode;

use saga_demo::fulfilment::{self, FulfilmentFiles};
use saga_demo::page::WalkPage;
use saga_demo_client::files;

#[tokio::test]
async fn every_step_is_as_it_must_be_and_so_are_the_books_and_a_second_walk_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let files = FulfilmentFiles {
        saga: files::program(),
        components: files::components(),
    };
    let data = data.path().join("data");
    for item in ["lamp-1", "lamp-2"] {
        let mut page = WalkPage::kept();
        let ended = fulfilment::run(&files, &data, &mut page).await.unwrap();
        let text = page.text();
        assert_eq!(ended, ExitCode::SUCCESS, "{text}");
        assert!(text.contains(&format!("/items/{item}")), "{text}");
        assert!(text.contains("The gateway holds 4200 cents"), "{text}");
    }
}
