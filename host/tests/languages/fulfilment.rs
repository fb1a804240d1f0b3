//! The fulfilment saga (`demo/fulfilment`) with rules in three languages at once: orders and payments in Rust, shipping in
//! Python, and the inventory in each of the three, one after the other, under load.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, mpsc};
use std::time::Instant;

use serde_json::{Value, json};

use crate::commands::{asks, json_of};
use crate::components::{decides_as_the_vectors_say, write_vectors};
use crate::support::{Host, PATIENCE, Response, Start, component};
use crate::{Test, python, tests, typescript};

const TESTS: &[Test] = tests![
    rules_are_swapped_between_three_languages_under_load_and_the_books_are_right,
    rules_in_each_language_decide_as_the_vectors_say,
];

/// The tests, or why they can't be run.
pub fn tests() -> Result<&'static [Test], String> {
    typescript::tests().and(python::tests()).map(|_| TESTS)
}

/// The builds of the inventory's rules, by language.
static INVENTORY: LazyLock<[(&str, PathBuf); 3]> = LazyLock::new(|| {
    let typescript = typescript::built(&rules("inventory/typescript"), "inventory");
    [
        ("Rust", component("fulfilment_inventory")),
        ("Python", in_python("inventory")),
        ("TypeScript", typescript),
    ]
});

static SHIPPING: LazyLock<PathBuf> = LazyLock::new(|| in_python("shipping"));

fn in_python(participant: &str) -> PathBuf {
    let folder = rules(&format!("{participant}/python"));
    python::built(folder.to_str().unwrap(), participant)
}

fn rules(folder: &str) -> PathBuf {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/fulfilment");
    all.join(folder).canonicalize().unwrap()
}

fn rules_in_each_language_decide_as_the_vectors_say() {
    if std::env::var_os("SAGA_WRITE_VECTORS").is_some() {
        write_vectors("inventory", &component("fulfilment_inventory"));
        write_vectors("shipping", &component("fulfilment_shipping"));
    }
    for (_, build) in &*INVENTORY {
        assert!(decides_as_the_vectors_say("inventory", build) > 40);
    }
    for build in [&component("fulfilment_shipping"), &*SHIPPING] {
        assert!(decides_as_the_vectors_say("shipping", build) > 25);
    }
}

/// Customers that order at the same time.
const CUSTOMERS: u64 = 4;
/// Items; each has this many pieces, more than can be ordered here.
const ITEMS: u64 = 2;
const PIECES: u64 = 100_000;
/// Orders that must end between one swap and the next.
const BETWEEN_SWAPS: usize = 6;
/// Swaps, a whole number of rounds through the languages.
const SWAPS: usize = 6;

/// The customers, the gateway and the warehouse, and what they see.
struct Load<'h> {
    host: &'h Host,
    requests: AtomicU64,
    is_over: AtomicBool,
}

/// An order that has ended.
struct Ended {
    item: u64,
    quantity: u64,
    cents: u64,
    is_shipped: bool,
}

impl Load<'_> {
    /// A request, which must be answered with one of these.
    fn asks(
        &self,
        participant: &str,
        method: &str,
        path: &str,
        body: &str,
        may: &[u16],
    ) -> Response {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.host.send(participant, method, path, body);
        let what = format!("{method} {path} {body}: {}", answer.text());
        assert!(may.contains(&answer.status), "{} {what}", answer.status);
        answer
    }

    /// Looks until a resource has one of these states.
    fn until(&self, participant: &str, path: &str, pointer: &str, states: &[&str]) -> String {
        let start = Instant::now();
        loop {
            // The event that makes it may be on its way.
            let answer = self.asks(participant, "GET", path, "", &[200, 404]);
            let body = answer.json();
            let state = body.pointer(pointer).and_then(Value::as_str);
            if let Some(state) = state.filter(|state| states.contains(state)) {
                return state.to_owned();
            }
            assert!(start.elapsed() < PATIENCE, "{path} stays {body}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Orders: most are shipped; others are too large, declined, or cancelled once they are paid.
    fn order(&self, number: u64) -> Ended {
        let (item, kind) = (number % ITEMS, number % 5);
        let quantity = if kind == 1 {
            PIECES + 1
        } else {
            1 + number % 3
        };
        let cents = if kind == 2 { DECLINED } else { 100 + number };
        let body = json!({"item": format!("lamp-{item}"), "quantity": quantity, "cents": cents});
        let placed = self.asks("orders", "POST", "/orders", &body.to_string(), &[201]);
        let order = placed.json()["order"].as_u64().unwrap();
        let path = format!("/orders/{order}");
        let ended = |is_shipped| Ended {
            item,
            quantity,
            cents,
            is_shipped,
        };
        if kind == 1 || kind == 2 {
            self.until("orders", &path, "/state", &["CANCELLED"]);
            return ended(false);
        }
        self.until("orders", &path, "/state", &["APPROVED"]);
        if kind == 3 {
            let cancel = format!("{path}/cancel");
            self.asks("orders", "POST", &cancel, "", &[202]);
            self.until("orders", &path, "/state", &["CANCELLED"]);
            return ended(false);
        }
        let shipment = format!("/shipments/{order}");
        self.until("shipping", &shipment, "/shipment/state", &["REQUESTED"]);
        let dispatch = format!("{shipment}/dispatch");
        self.asks("shipping", "POST", &dispatch, "", &[200]);
        self.until("orders", &path, "/state", &["SHIPPED"]);
        ended(true)
    }

    /// Reports what a gateway would do, until there is nobody to report to.
    fn gateway(&self) {
        while !self.is_over.load(Ordering::Acquire) {
            for state in ["REQUESTED", "REFUNDING"] {
                let path = format!("/payments?state={state}");
                let list = self.asks("payments", "GET", &path, "", &[200]).json();
                for payment in list["items"].as_array().unwrap() {
                    let done = match (state, payment["cents"].as_u64().unwrap()) {
                        ("REFUNDING", _) => "REFUNDED",
                        (_, DECLINED) => "DECLINED",
                        _ => "CHARGED",
                    };
                    let report = format!("/payments/{}/report", payment["order"]);
                    let body = json!({"done": done}).to_string();
                    // A client may have cancelled what was listed as REQUESTED: the report is late then.
                    self.asks("payments", "POST", &report, &body, &[200]);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// The amount that the gateway declines.
const DECLINED: u64 = 1_000_000;

fn rules_are_swapped_between_three_languages_under_load_and_the_books_are_right() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let start = |inventory: &Path| {
        let mut start = Start::new(&[], data).setting("reload.watch_ms", 0);
        for (name, build) in [
            ("orders", component("fulfilment_orders")),
            ("inventory", inventory.to_owned()),
            ("payments", component("fulfilment_payments")),
            ("shipping", SHIPPING.clone()),
        ] {
            let (plugin, listen) = (
                format!("{name}={}", build.display()),
                format!("{name}=127.0.0.1:0"),
            );
            start = start.arguments(&["--plugin", &plugin, "--listen", &listen]);
        }
        start
    };
    let builds = &*INVENTORY;
    let host = start(&builds[2].1).start();
    let apply = |language: usize| {
        let path = builds[language].1.to_str().unwrap();
        let applied = json_of(&mut asks(data, &["apply", "inventory", path]));
        assert_eq!(applied["changed"], true, "{applied}");
        assert_eq!(applied["probe"]["decided_otherwise"], 0, "{applied}");
        applied
    };
    // Compiled before the load, so that the swaps are close together.
    for language in [0, 1, 2] {
        apply(language);
    }
    for item in 0..ITEMS {
        let path = format!("/items/lamp-{item}/deliveries");
        let delivery = json!({"quantity": PIECES});
        assert_eq!(host.post("inventory", &path, &delivery).status, 200);
    }

    let load = Load {
        host: &host,
        requests: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    let (say, ends) = mpsc::channel();
    let (mut ended, is_enough) = (Vec::new(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let gateway = scope.spawn(|| load.gateway());
        let (load, customers, is_enough) = (&load, say, &is_enough);
        for customer in 0..CUSTOMERS {
            let say = customers.clone();
            scope.spawn(move || {
                for round in 0.. {
                    if is_enough.load(Ordering::Acquire) {
                        return;
                    }
                    say.send(load.order(customer + round * CUSTOMERS)).unwrap();
                }
            });
        }
        drop(customers);
        for swap in 0..SWAPS {
            ended.extend(ends.iter().take(BETWEEN_SWAPS));
            apply(swap % builds.len());
        }
        ended.extend(ends.iter().take(BETWEEN_SWAPS));
        is_enough.store(true, Ordering::Release);
        ended.extend(&ends);
        load.is_over.store(true, Ordering::Release);
        gateway.join().unwrap();
    });
    assert!(load.requests.into_inner() > 300);

    // No piece and no cent is lost, or there twice.
    let sum = |wanted: &dyn Fn(&&Ended) -> bool, what: fn(&Ended) -> u64| -> u64 {
        ended.iter().filter(wanted).map(what).sum()
    };
    let mut shipped = 0;
    for item in 0..ITEMS {
        let left = sum(&|one| one.is_shipped && one.item == item, |one| {
            one.quantity
        });
        let wanted = json!({"free": PIECES - left, "reserved": {}, "shipped": left});
        host.get_until("inventory", &format!("/items/lamp-{item}"), |stock| {
            stock.json() == wanted
        });
        shipped += left;
    }
    assert!(shipped > 0 && ended.iter().any(|one| !one.is_shipped));
    let mut charged = 0;
    for order in 1..=ended.len() {
        let payment = host.get("payments", &format!("/payments/{order}"));
        if payment.status == 200 && payment.json()["state"] == "CHARGED" {
            charged += payment.json()["cents"].as_u64().unwrap();
        }
    }
    assert_eq!(charged, sum(&|one| one.is_shipped, |one| one.cents));

    // Each language decides what the others recorded as they did: a swap tries the latest, a replay all.
    for language in [1, 2, 0] {
        let applied = apply(language);
        assert!(
            applied["probe"]["inputs"].as_u64().unwrap() > 0,
            "{applied}"
        );
    }
    assert!(host.stop().success());
    for participant in ["inventory", "shipping"] {
        let rust = component(&format!("fulfilment_{participant}"));
        let words = ["replay", participant, "--candidate", rust.to_str().unwrap()];
        let replayed = json_of(&mut asks(data, &words));
        let (all, same) = (&replayed["replayed"], &replayed["unchanged"]);
        assert!(all == same && all.as_u64().unwrap() > 0, "{replayed}");
    }
}
