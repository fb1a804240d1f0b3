//! The steps: a host is killed, one is paused and woken, rules are swapped on all, the books are
//! checked.

use anyhow::{Context as _, Result};

use super::books::{self, Limits, client, decided};
use super::load::{Load, Placed};
use super::{Cluster, ClusterOptions, HOSTS, LOOK_EVERY, Page, WITHIN, saga};
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::{CallError, CustomerClient, OrderClient, OrderState};

/// Customers of the load.
const CUSTOMERS: usize = 4;
/// Their limit: enough for most of their orders.
const LIMIT: Cents = Cents::whole(700);
/// Orders after which a step goes on.
const ORDERS: usize = 60;
/// Limit of the customer whose orders show which rules decide.
const HIGH: Cents = Cents::whole(1_000_000);
/// An order that the cautious rules refuse, whatever credit is left.
const LARGE: Cents = Cents::whole(20_000);

/// Which host does what for all.
const DUTIES: &str = "SELECT h.name, string_agg(d.name, ', ' ORDER BY d.name) FROM saga.hosts h \
                      JOIN saga.duties d ON d.host = h.id GROUP BY 1";

/// The host that is killed, the one that is paused, and the one that is asked to swap rules.
const KILLED: usize = 2;
const PAUSED: usize = 1;
const ASKED: usize = 0;

/// All steps; deviations go to the page.
pub(super) async fn walk(
    cluster: &mut Cluster,
    options: &ClusterOptions,
    page: &mut Page,
) -> Result<()> {
    start(cluster, page).await?;
    let mut walk = Walk::begin(cluster, page).await?;
    walk.kill(cluster, page).await?;
    walk.pause(cluster, page).await?;
    walk.swap(cluster, options, page).await?;
    walk.start_again(cluster, page).await?;
    page.heading("The books")?;
    let placed = walk.load.end().await?;
    let (refused, late) = walk.load.repeated();
    page.say(&format!(
        "The customers stop. {refused} requests met a host that was gone and {late} one that was paused; each was \
         repeated at another host with its idempotency key."
    ))?;
    let placed: Vec<Placed> = walk.large.into_iter().chain(placed).collect();
    books::check(cluster, (&walk.limits, &placed), page).await
}

/// Starts the hosts one after the other: the first one creates the tables.
async fn start(cluster: &mut Cluster, page: &mut Page) -> Result<()> {
    page.heading("Three hosts, each with both participants")?;
    for place in 0..HOSTS {
        let launch = cluster
            .launches
            .get(place)
            .context("there is no such host")?;
        page.request(&launch.command_line())?;
        cluster.start(place).await?;
        let host = cluster.host(place)?;
        page.say(&format!(
            "Host {} is ready after {} ms, as process {}.",
            place + 1,
            host.ready_after.as_millis(),
            cluster.pid(place)?
        ))?;
    }
    let spread = format!("(SELECT count(DISTINCT host) FROM saga.duties) = {HOSTS}");
    cluster.until("each host has duties", &spread).await?;
    page.say(
        "Work that one host does for all is spread over them: timers and pruning, besides publishing to Kafka or reading \
         a partition of the embedded log.",
    )?;
    cluster.show(DUTIES, page).await.map(drop)
}

/// What a walk has begun.
struct Walk {
    load: Load,
    limits: Limits,
    /// The customer whose orders show which rules decide, and these orders.
    rich: i64,
    large: Vec<Placed>,
}

impl Walk {
    /// Registers customers at one host, and lets them order at all.
    async fn begin(cluster: &Cluster, page: &mut Page) -> Result<Self> {
        page.heading("Customers register at host 1 and order at all hosts")?;
        let (customers, orders) = (cluster.urls(0)?, cluster.urls(1)?);
        let mut limits = Limits::new();
        let first = customers.first().context("there are no hosts")?.clone();
        let mut first = client(first, CustomerClient);
        for limit in [LIMIT; CUSTOMERS] {
            limits.insert(first.register("Ann", limit).await?, limit);
        }
        let ids: Vec<i64> = limits.keys().copied().collect();
        let rich = first.register("Carl", HIGH).await?;
        limits.insert(rich, HIGH);
        page.say(&format!(
            "Customers {ids:?} have a limit of {LIMIT}, customer {rich} one of {HIGH}. What one host has acknowledged, the \
             others read at once:"
        ))?;
        for url in customers.iter().skip(1) {
            let path = saga_demo_client::contract::customer_path(url, rich);
            page.request(&format!("curl -s {}", url.url(&path)))?;
            let left = client(url.clone(), CustomerClient)
                .credit_left(rich)
                .await?;
            page.must_be("credit left", HIGH, left)?;
        }
        let mut load = Load::start(orders, ids);
        let took = load.further(ORDERS).await?;
        page.say(&format!(
            "They order all the time from now on, each time at the next host: {ORDERS} orders in {:.1} s.",
            took.as_secs_f64()
        ))?;
        let mut walk = Self {
            load,
            limits,
            rich,
            large: Vec::new(),
        };
        walk.large(cluster, OrderState::Approved, page).await?;
        Ok(walk)
    }

    async fn kill(&mut self, cluster: &mut Cluster, page: &mut Page) -> Result<()> {
        page.heading("Host 3 is killed in the middle of its work")?;
        let pid = cluster.pid(KILLED)?;
        page.request(&format!("kill -9 {pid}"))?;
        let host = cluster.host(KILLED)?;
        host.kill();
        host.exited().await;
        let took = self.load.further(ORDERS).await?;
        page.say(&format!(
            "The others go on: {ORDERS} further orders in {:.1} s. After 5 s without a sign of life it counts as gone:",
            took.as_secs_f64()
        ))?;
        let name = format!("'%:{pid}'");
        let are_left = format!(
            "NOT EXISTS (SELECT FROM saga.duties d JOIN saga.hosts h ON h.id = d.host WHERE h.name LIKE {name})"
        );
        cluster
            .until("others have taken its duties", &are_left)
            .await?;
        cluster.show(DUTIES, page).await?;
        cluster.start(KILLED).await?;
        page.say("It is started again with the same command, and takes part.")?;
        self.load.further(ORDERS).await.map(drop)
    }

    async fn pause(&mut self, cluster: &Cluster, page: &mut Page) -> Result<()> {
        page.heading(
            "Host 2 is paused, as a virtual machine may be, until the others count it as gone",
        )?;
        let pid = cluster.pid(PAUSED)?;
        page.request(&format!("kill -STOP {pid}"))?;
        let host = cluster.host(PAUSED)?;
        host.pause();
        let name = format!("'%:{pid}'");
        let are_left = format!(
            "NOT EXISTS (SELECT FROM saga.duties d JOIN saga.hosts h ON h.id = d.host WHERE h.name LIKE {name})"
        );
        let paused = cluster
            .until("others have taken its duties", &are_left)
            .await?;
        self.load.further(ORDERS).await?;
        page.request(&format!("kill -CONT {pid}"))?;
        host.resume();
        let mut orders = client(cluster.urls(1)?.swap_remove(PAUSED), OrderClient);
        let began = std::time::Instant::now();
        // It says 503 until it has heard of the commit that was in flight; nothing is changed by that.
        let id = loop {
            match orders.place(self.rich, LARGE).await {
                Err(CallError::Status { status: 503, .. }) if began.elapsed() < WITHIN => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                placed => break placed?,
            }
        };
        let order = Placed {
            id,
            customer: self.rich,
            total: LARGE,
        };
        self.large.push(order);
        let state = decided(&mut orders, id).await?;
        page.must_be(
            "state of an order at the woken host",
            OrderState::Approved,
            state,
        )?;
        page.say(&format!(
            "Its duties were taken after {:.1} s. Awake again it goes on: order {id}, placed there, is {state}. Whatever it \
             brought that others had decided meanwhile was refused by the store, and decided again.",
            paused.as_secs_f64()
        ))?;
        self.load.further(ORDERS).await.map(drop)
    }

    async fn swap(
        &mut self,
        cluster: &Cluster,
        options: &ClusterOptions,
        page: &mut Page,
    ) -> Result<()> {
        page.heading("The customer's rules are swapped on all hosts by a command at host 1")?;
        let admin = cluster.host(ASKED)?.admin.as_ref();
        let admin = admin.context("host 1 has no admin interface")?.to_string();
        let cautious = options.cautious.display().to_string();
        let (before, _) = self.load.repeated();
        let arguments = ["apply", "customer", &cautious, "--admin", &admin];
        let said = saga(&options.binaries.saga, &arguments, page).await?;
        for line in said.lines() {
            page.record(line)?;
        }
        page.say(
            "Host 1 checked it and proposed it; the others compiled it and agreed; then it was activated in the store, for \
             all at once. An order of 20000 is above what these rules approve, at whichever host it is placed:",
        )?;
        self.large(cluster, OrderState::Rejected, page).await?;
        self.load.further(ORDERS).await?;
        let (after, _) = self.load.repeated();
        page.must_be("requests that the swap refused", 0, after - before)
            .map_err(Into::into)
    }

    async fn start_again(&mut self, cluster: &mut Cluster, page: &mut Page) -> Result<()> {
        page.heading("Host 1 is stopped and started again, as for an upgrade")?;
        page.request(&format!("kill {}", cluster.pid(ASKED)?))?;
        let host = cluster.host(ASKED)?;
        host.ask_to_end();
        let status = host.exited().await.to_string();
        page.must_be("its end", "exit status: 0", &status)?;
        cluster.start(ASKED).await?;
        page.say(
            "It drained, ended, and was started with the command from above. That names the old build of the rules, but the \
             active ones come from the store:",
        )?;
        self.large(cluster, OrderState::Rejected, page).await?;
        self.load.further(ORDERS).await.map(drop)
    }

    /// Places a large order at each host, and expects this decision.
    async fn large(&mut self, cluster: &Cluster, state: OrderState, page: &mut Page) -> Result<()> {
        for (number, url) in (1..).zip(cluster.urls(1)?) {
            let mut orders = client(url, OrderClient);
            let id = orders.place(self.rich, LARGE).await?;
            self.large.push(Placed {
                id,
                customer: self.rich,
                total: LARGE,
            });
            let found = decided(&mut orders, id).await?;
            page.say(&format!(
                "Order {id} of {LARGE}, placed at host {number}: {found}"
            ))?;
            page.must_be(&format!("state of order {id}"), state, found)?;
        }
        Ok(())
    }
}
