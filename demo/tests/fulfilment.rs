//! The walk through the fulfilment saga, with the host and the components that `make test` builds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::ExitCode;

use saga_demo::files;
use saga_demo::fulfilment::{self, FulfilmentFiles};
use saga_demo::walk::page::WalkPage;

#[tokio::test]
async fn every_step_is_as_it_must_be_and_so_are_the_books_and_a_second_walk_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let target = files::target();
    let files = FulfilmentFiles {
        saga: target.join("release/saga"),
        components: target.join("wasm32-wasip2/release"),
        data: data.path().join("data"),
    };
    for item in ["lamp-1", "lamp-2"] {
        let mut text = Vec::new();
        let ended = fulfilment::run(&files, &mut WalkPage::new(&mut text, false))
            .await
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(ended, ExitCode::SUCCESS, "{text}");
        assert!(text.contains(&format!("/items/{item}")), "{text}");
        assert!(text.contains("The gateway holds 4200 cents"), "{text}");
    }
}
