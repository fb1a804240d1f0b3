//! `fulfilment-gateway URL`: the adapter of the payments at this URL, with a fake gateway.

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use fulfilment_gateway::adapter;
use fulfilment_gateway::fake::{FakeGateway, Trouble};
use saga_testkit::http::BaseUrl;

fn main() -> ExitCode {
    let url = std::env::args().nth(1).unwrap_or_default();
    let payments: BaseUrl = match url.parse() {
        Ok(payments) => payments,
        Err(error) => {
            eprintln!("fulfilment-gateway: {error}");
            eprintln!("usage: fulfilment-gateway http://localhost:8093/fulfilment");
            return ExitCode::from(64);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("fulfilment-gateway: can't start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trouble = vec![Trouble::None, Trouble::AnswerLost, Trouble::CallLost];
    let gateway = Mutex::new(FakeGateway::with_trouble(trouble));
    runtime.block_on(adapter::run(
        &payments,
        &gateway,
        Duration::from_millis(200),
    ));
    ExitCode::SUCCESS
}
