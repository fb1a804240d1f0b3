//! `saga-demo languages`: the saga with rules in three languages, and swaps between them under load.
//!
//! Owns: which rules are in which language, the order of the swaps, and what must come of it.
//!
//! Must not know: processes, or how a customer orders (`load`).

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use fulfilment_gateway::fake::{FakeGateway, Trouble};
use fulfilment_gateway::key_of;
use saga_demo_client::admin::{AdminService, Swapped};
use saga_demo_client::files;
use saga_testkit::host::launch::program;
use saga_testkit::host::{Hosts, Launch};
use saga_testkit::http::Client;
use serde::Deserialize;
use serde_json::json;

use super::client::{Services, becomes, path};
use super::load::{Ended, Load};
use super::{FulfilmentFiles, PARTICIPANTS, locked};
use crate::page::WalkPage;

/// The participant whose rules are swapped.
const SWAPPED: &str = "inventory";

/// The languages of the swapped rules, and the places of the swaps in this list: each language is followed by each of
/// the others, and the last is that of the start.
const LANGUAGES: [&str; 3] = ["Rust", "Python", "TypeScript"];
const START: usize = 2;
const ROUND: [usize; 6] = [1, 0, 2, 0, 1, 2];
const ROUNDS: usize = 2;

/// Orders that end before the first swap, and between one and the next.
const BETWEEN_SWAPS: usize = 25;

/// Items, and the pieces of each that are delivered, more than the customers can order.
const ITEMS: usize = 3;
const DELIVERED: u64 = 1_000_000;

/// The components of the walk.
pub(super) struct Builds {
    /// Those of the swapped participant, in the order of [`LANGUAGES`].
    swapped: [PathBuf; 3],
    /// That of shipping, in Python.
    shipping: PathBuf,
}

impl Builds {
    /// Finds them.
    ///
    /// # Errors
    /// One is missing.
    pub(super) fn in_directories(rust: &Path, languages: &Path) -> Result<Self> {
        let component = rust.join(format!("fulfilment_{SWAPPED}.wasm"));
        files::check_file(&component, "--components", "make components")?;
        let built = |name: String| {
            let path = languages.join(name);
            files::check_file(&path, "--languages", "make demo-languages")?;
            Ok::<_, anyhow::Error>(path)
        };
        Ok(Self {
            swapped: [
                component,
                built(format!("{SWAPPED}-python.wasm"))?,
                built(format!("{SWAPPED}-typescript.wasm"))?,
            ],
            shipping: built("shipping-python.wasm".to_owned())?,
        })
    }

    /// The host with rules in three languages.
    ///
    /// # Errors
    /// A file is missing.
    pub(super) fn launch(&self, files: &FulfilmentFiles, data: &Path) -> Result<Launch> {
        let mut launch = super::launch(files, data)?;
        let [.., typescript] = &self.swapped;
        for participant in &mut launch.participants {
            match participant.name.as_str() {
                SWAPPED => participant.component.clone_from(typescript),
                "shipping" => participant.component.clone_from(&self.shipping),
                _ => {}
            }
        }
        Ok(launch)
    }
}

/// All steps; deviations go to the page.
pub(super) async fn walk(
    hosts: &Hosts,
    launch: &Launch,
    builds: &Builds,
    gateway: &Mutex<FakeGateway>,
    page: &mut WalkPage,
) -> Result<()> {
    let mut services = Services::of(hosts)?;
    let admin = hosts.admin(SWAPPED)?.clone();
    let mut admin = AdminService(Client::new(admin, false));
    page.heading("A saga with rules in three languages")?;
    for name in PARTICIPANTS {
        let language = match name {
            SWAPPED => "TypeScript",
            "shipping" => "Python",
            _ => "Rust",
        };
        page.say(&format!("{name:<10} {language}"))?;
    }
    page.say("The rules in TypeScript are built from npm, those in Python from PyPI, by the SDK of each. To the host all are")?;
    page.say("components of one interface. Customers order, pay, cancel, and get their goods; the gateway loses calls.")?;
    locked(gateway).goes(vec![Trouble::None, Trouble::AnswerLost, Trouble::CallLost]);
    let items = deliver(&mut services).await?;
    let mut load = Load::start(hosts, items.clone())?;
    load.until_ended(BETWEEN_SWAPS).await?;
    page.say(&format!(
        "{} orders have ended so far: {}.",
        load.ended().len(),
        told(load.ended())
    ))?;

    page.heading("The inventory's rules are swapped between languages, under load")?;
    page.say("Before each swap the next rules decide recorded messages again; one decided otherwise would be a bug in them.")?;
    let swaps = swap_all(&mut admin, builds, &mut load, page).await?;
    let (requests, failed) = load.end().await?;
    let ended = load.ended();

    page.heading("What came of it")?;
    page.say(&format!(
        "requests               {requests} ({} orders: {})",
        ended.len(),
        told(ended)
    ))?;
    page.say(&format!("failed requests        {}", failed.len()))?;
    for one in failed.iter().take(5) {
        page.say(&format!("                       {one}"))?;
    }
    page.must_be("failed requests", 0, failed.len())?;
    let otherwise = decided_otherwise(&swaps);
    page.say(&format!("decided otherwise      {otherwise}"))?;
    page.must_be("decisions that came out otherwise", 0, otherwise)?;
    let mut pauses: Vec<u64> = swaps.iter().map(|swap| swap.swapped_us).collect();
    pauses.sort_unstable();
    let pause = |place: usize| millis(pauses.get(place).copied().unwrap_or_default());
    page.say(&format!(
        "swaps                  {}, pauses of {} to {} ms (median {})",
        pauses.len(),
        pause(0),
        pause(pauses.len().saturating_sub(1)),
        pause(pauses.len() / 2)
    ))?;
    replay(launch, builds, page).await?;
    books(&mut services, gateway, &items, ended, page).await
}

/// Delivers items whose names no walk on the same directory has used.
async fn deliver(services: &mut Services) -> Result<Vec<String>> {
    let items = services.new_items(ITEMS).await?;
    for item in &items {
        let path = path(&services.inventory, &format!("/items/{item}/deliveries"));
        let body = json!({"quantity": DELIVERED}).to_string();
        let answer = services.inventory.post(&path, body.into()).await?;
        anyhow::ensure!(answer.is_success(), "{path}: {}", answer.text());
    }
    Ok(items)
}

async fn swap_all(
    admin: &mut AdminService,
    builds: &Builds,
    load: &mut Load,
    page: &mut WalkPage,
) -> Result<Vec<Swapped>> {
    let names: Vec<_> = LANGUAGES.iter().zip(&builds.swapped).collect();
    let mut swaps = Vec::new();
    let mut from = LANGUAGES.get(START).copied().unwrap_or_default();
    for round in 0..ROUNDS {
        for (to, build) in ROUND.iter().filter_map(|place| names.get(*place)) {
            let (requests, failed) = load.counts();
            let swapped = admin.swap(SWAPPED, files::read(build)?).await?;
            let (requests_after, failed_after) = load.counts();
            page.must_be("whether the swap changed something", true, swapped.changed)?;
            page.say(&format!(
                "{from:<10} -> {to:<10} pause {:>6} ms; checked for {:>8} ms, {:>4} decisions made again; {:>5} requests meanwhile, {} failed",
                millis(swapped.swapped_us),
                millis(swapped.checked_us),
                swapped.probe.inputs,
                requests_after - requests,
                failed_after - failed,
            ))?;
            from = to;
            swaps.push(swapped);
            load.until_ended(BETWEEN_SWAPS).await?;
        }
        if round == 0 {
            page.say("Checks take long where rules have to be compiled first, beside the load; the compiled code is kept:")?;
        }
    }
    Ok(swaps)
}

/// Recorded decisions that the next rules made otherwise, before all swaps.
fn decided_otherwise(swaps: &[Swapped]) -> u64 {
    swaps.iter().map(|swap| swap.probe.decided_otherwise).sum()
}

/// Lets the rules in each language make all recorded decisions again.
async fn replay(launch: &Launch, builds: &Builds, page: &mut WalkPage) -> Result<()> {
    page.heading("All decisions once more, in each language")?;
    page.say("Each decision of the inventory is recorded with its input, whatever rules made it.")?;
    for (language, build) in LANGUAGES.iter().zip(&builds.swapped) {
        let (saga, data) = (launch.program.display(), launch.data.display());
        let words = format!(
            "replay {SWAPPED} --candidate {} --data {data}",
            build.display()
        );
        page.request(&format!("{saga} {words}"))?;
        let mut command = program(&launch.program);
        command
            .args(["replay", SWAPPED, "--json", "--candidate"])
            .arg(build);
        command.arg("--data").arg(&launch.data);
        // It takes seconds, and the adapter goes on meanwhile.
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told: Replayed = serde_json::from_slice(&output.stdout).with_context(|| said)?;
        let (replayed, unchanged) = (told.replayed, told.unchanged);
        let otherwise = replayed - unchanged;
        page.say(&format!(
            "{language:<10} {replayed} decisions made again, {otherwise} came out otherwise"
        ))?;
        page.must_be("decisions made again", true, replayed > 0)?;
        page.must_be("decisions that are the same", replayed, unchanged)?;
    }
    Ok(())
}

/// The result of a replay.
#[derive(Deserialize)]
struct Replayed {
    replayed: u64,
    unchanged: u64,
}

/// No piece and no cent may be lost, or there twice.
async fn books(
    services: &mut Services,
    gateway: &Mutex<FakeGateway>,
    items: &[String],
    ended: &[Ended],
    page: &mut WalkPage,
) -> Result<()> {
    page.heading("The books")?;
    let shipped = || ended.iter().filter(|one| one.is_shipped);
    for item in items {
        let left: u64 = shipped()
            .filter(|one| one.item == *item)
            .map(|one| one.quantity)
            .sum();
        let wanted = ("/free", json!(DELIVERED - left));
        let at = format!("/items/{item}");
        let stock = becomes(&mut services.inventory, &at, wanted, page).await?;
        let expected = json!({"free": DELIVERED - left, "reserved": {}, "shipped": left});
        page.must_be("stock", expected, stock)?;
    }
    let gateway = locked(gateway);
    let wanted: u64 = shipped().map(|one| one.cents).sum();
    let held: u64 = ended
        .iter()
        .map(|one| gateway.held(&key_of(one.order)))
        .sum();
    page.must_be("money that the gateway holds", wanted, held)?;
    page.say(&format!(
        "Of {DELIVERED} pieces of each, what was shipped has left and the rest is free. The gateway holds {held} cents, the amount of the"
    ))?;
    page.say("orders that were shipped.")?;
    Ok(())
}

fn told(ended: &[Ended]) -> String {
    let shipped = ended.iter().filter(|one| one.is_shipped).count();
    format!("{shipped} shipped, {} cancelled", ended.len() - shipped)
}

fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1_000, micros % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_is_followed_by_each_of_the_others() {
        let mut from = START;
        let mut seen = std::collections::BTreeSet::new();
        for to in ROUND {
            assert_ne!(from, to);
            seen.insert((from, to));
            from = to;
        }
        assert_eq!((seen.len(), from), (6, START));
    }

    #[test]
    fn a_missing_component_is_named_with_a_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let found = || Builds::in_directories(directory.path(), directory.path());
        let error = found().err().unwrap().to_string();
        assert!(error.contains("make components"), "{error}");
        std::fs::write(directory.path().join("fulfilment_inventory.wasm"), "").unwrap();
        let error = found().err().unwrap().to_string();
        assert!(
            error.contains(
                "inventory-python.wasm does not exist: build it with `make demo-languages`"
            ),
            "{error}"
        );
    }
}
