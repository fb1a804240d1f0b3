//! The scheduler: at each step the seed chooses the next event, including faults; then the faults
//! end and everything comes to rest.

use crate::broker::Broker;
use crate::checker::{self, Violation};
use crate::host::Answer;
use crate::process::Process;
use crate::rules::Role;
use crate::scene::{Broken, Call, Scene};
use crate::thread::Thread;

/// Number of steps with faults.
const STEPS: u64 = 1000;

/// Number of steps within which everything must come to rest.
const REST_STEPS: u64 = 60_000;

/// The whole simulated world.
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) broker: Broker,
    pub(crate) processes: Vec<Process>,
    builds: u64,
    pub(crate) foreign: u64,
    /// The process that holds the store of each participant.
    holders: [usize; Role::ALL.len()],
    /// True if a command waits to have the store of a participant alone.
    pub(crate) wanted_alone: [bool; Role::ALL.len()],
}

/// Runs one seed to its end and checks it.
pub(crate) fn run(seed: u64, broken: Option<Broken>) -> (Scene, Result<(), Violation>) {
    run_world(seed, broken, false)
}

/// The same, with two to four hosts for each participant, on one store.
pub(crate) fn run_shared(seed: u64, broken: Option<Broken>) -> (Scene, Result<(), Violation>) {
    run_world(seed, broken, true)
}

fn run_world(seed: u64, broken: Option<Broken>, is_shared: bool) -> (Scene, Result<(), Violation>) {
    let mut world = World {
        scene: Scene::new(seed, broken, is_shared),
        broker: Broker::new(),
        processes: Vec::new(),
        builds: 1,
        foreign: 0,
        holders: [0, 1],
        wanted_alone: [false; Role::ALL.len()],
    };
    for role in Role::ALL {
        world.processes.push(Process::new(role, &mut world.scene));
    }
    for number in 1..world.scene.hosts {
        for first in 0..Role::ALL.len() {
            let another = Process::another(&mut world.processes[first], number, &mut world.scene);
            world.processes.push(another);
        }
    }
    let result = world.run();
    (world.scene, result)
}

impl World {
    fn run(&mut self) -> Result<(), Violation> {
        for _ in 0..STEPS {
            self.step()?;
        }
        self.scene.dice.calm.set(true);
        // From now on every build reads every state, as after a swap to such a build.
        for process in &mut self.processes {
            for thread in &mut process.threads {
                thread.offer_all_parked();
            }
        }
        self.come_to_rest()?;
        self.hand_stores_back();
        checker::at_rest(self)
    }

    /// Passes the store that the hosts of a participant share to one of them.
    pub(crate) fn hand_store(&mut self, who: usize) {
        let holder = &mut self.holders[who % Role::ALL.len()];
        if *holder != who {
            let (low, high) = self.processes.split_at_mut((*holder).max(who));
            let low = &mut low[(*holder).min(who)];
            std::mem::swap(&mut low.store, &mut high[0].store);
            *holder = who;
        }
    }

    fn hand_stores_back(&mut self) {
        for who in 0..Role::ALL.len() {
            self.hand_store(who);
        }
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.scene.now += self.scene.random.below(4);
        let who = self.scene.random.index(self.processes.len());
        if self.scene.is_shared && !self.tend_hosts(who) {
            return self.scene.wrong.take().map_or(Ok(()), Err);
        }
        let Self {
            scene,
            broker,
            processes,
            ..
        } = self;
        let process = &mut processes[who];
        if scene.is_shared && scene.random.percent(10) {
            process.follow(scene);
        }
        // A swap is short, but must meet all other steps.
        if process.swap.is_some() && scene.random.percent(40) {
            process.go_on_swapping(scene);
            return self.scene.wrong.take().map_or(Ok(()), Err);
        }
        match scene.random.below(1000) {
            0..90 => self.ask(),
            90..120 => self.foreign_record(),
            120..170 => self.copy_record(),
            170..175 if scene.is_shared => self.ask_the_same(),
            170..175 => self.crash(who),
            175..180 => {
                let place = scene.random.index(process.sessions.len());
                if let Some(session) = process.sessions.get(place) {
                    scene.note("rebalance", format_args!("{} {place}", process.role.name()));
                    session.cancelled.set(true);
                }
            }
            180..197 => {
                self.builds += 1;
                process.apply(self.builds, scene);
            }
            197..207 => {
                process.fire(scene);
            }
            207..210 => {
                process.operate(scene);
            }
            210..310 => {
                process.publish(broker, scene);
            }
            310..330 => process.note_published(),
            330..345 => process.begin_again(scene),
            345..360 => {
                process.ask_again(scene);
            }
            360..560 => {
                let place = scene.random.index(process.sessions.len());
                process.deliver(place, broker, scene);
            }
            560..800 => {
                let thread = scene.random.index(process.threads.len());
                process.turn(thread, scene);
            }
            _ => {
                process.write(scene);
                checker::offsets(process, &self.broker)?;
            }
        }
        self.scene.wrong.take().map_or(Ok(()), Err)
    }

    /// A client makes a call.
    fn ask(&mut self) {
        self.hand_stores_back();
        let random = &mut self.scene.random;
        let accounts = self.processes[0].store.last_key.max(1).unsigned_abs();
        let unknown = u64::from(random.percent(5));
        let account = 1 + random.below(accounts + unknown);
        let amount = 1 + random.below(40);
        let orders = self.processes[1].store.last_key.max(1).unsigned_abs();
        let order = 1 + random.below(orders);
        let (role, command, key, body) = match random.below(20) {
            0..2 => (
                0,
                "open",
                None,
                format!(r#"{{"amount":{}}}"#, 50 + amount * 4),
            ),
            2..5 => (
                0,
                "raise",
                Some(account),
                format!(r#"{{"amount":{amount}}}"#),
            ),
            5..7 => (0, "get", Some(account), "null".to_owned()),
            7..9 => (1, "get", Some(order), "null".to_owned()),
            9..11 => (1, "touch", Some(order), "null".to_owned()),
            11..13 => (1, "cancel", Some(order), "null".to_owned()),
            13 => match random.percent(50) {
                true => (0, "migrate", Some(account), "null".to_owned()),
                false => (1, "migrate", Some(order), "null".to_owned()),
            },
            _ => (
                1,
                "place",
                None,
                format!(r#"{{"account":"{account}","amount":{amount}}}"#),
            ),
        };
        let call = self.scene.calls.len();
        let id = format!("c{call}");
        let can_repeat = self.scene.is_shared && !matches!(command, "get" | "migrate");
        let repeatable = (can_repeat && self.scene.random.percent(25)).then(|| id.as_str().into());
        self.scene.calls.push(Call {
            role: Role::ALL[role],
            command,
            id,
            key: key.map(|key| key.to_string()),
            body,
            repeatable,
            host: role,
            asked: 0,
            answered: 0,
            answer: None,
        });
        self.ask_any(call, role);
    }

    /// A client sends the same request again, under the same idempotency key.
    fn ask_the_same(&mut self) {
        let calls = &self.scene.calls;
        let recent = calls.len().saturating_sub(12);
        let can = |call: &&Call| call.repeatable.is_some();
        let Some(same) = calls[recent..].iter().find(can) else {
            return;
        };
        let again = Call {
            id: format!("c{}", calls.len()),
            repeatable: same.repeatable.clone(),
            key: same.key.clone(),
            body: same.body.clone(),
            answer: None,
            ..*same
        };
        let role = Role::ALL.iter().position(|role| *role == again.role);
        let call = calls.len();
        self.scene
            .note("same", format_args!("{call} {:?}", again.repeatable));
        self.scene.calls.push(again);
        self.ask_any(call, role.expect("it is one of them"));
    }

    /// Asks any host of a participant that listens.
    fn ask_any(&mut self, call: usize, role: usize) {
        let hosts = self.scene.hosts;
        let from = match hosts {
            1 => 0,
            _ => self.scene.random.index(hosts),
        };
        let all = (0..hosts).map(|host| role + (from + host) % hosts * Role::ALL.len());
        let mut all = all.filter(|host| !self.processes[*host].is_dead);
        let events = self.scene.events;
        let Some(who) = all.next() else {
            return self.scene.answer(call, Answer::TryLater);
        };
        (self.scene.calls[call].host, self.scene.calls[call].asked) = (who, events);
        self.hand_store(who);
        let ask = self.scene.ask_of(call);
        self.processes[who].ask(ask, &mut self.scene);
    }

    fn crash(&mut self, who: usize) {
        self.processes[who].crash(&mut self.scene);
        self.scene.lose_calls(who);
    }

    /// The parts that are not at rest.
    fn unrest(&self) -> String {
        let of_process = |process: &Process| {
            let store = &process.store;
            let idle: Vec<bool> = process.threads.iter().map(Thread::is_idle).collect();
            let letters: Vec<_> = (store.letters.iter())
                .map(|(id, letter)| format!("{id} of {} {:?}", letter.key, letter.request))
                .collect();
            let parked: Vec<_> = (store.parked.iter())
                .map(|(id, row)| (id, &row.0))
                .collect();
            let name = process.role.name();
            format!("{name}: idle {idle:?}, letters {letters:?}, parked {parked:?}")
        };
        let all: Vec<_> = self.processes.iter().map(of_process).collect();
        all.join("; ")
    }

    fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.scene.note("calm", format_args!(""));
        for _ in 0..REST_STEPS {
            let mut any = false;
            // Hosts wait for each other for some time only.
            self.scene.now += u64::from(self.scene.is_shared);
            for who in 0..self.processes.len() {
                self.hand_store(who);
                if self.scene.is_shared {
                    any |= self.tend_hosts_at_rest(who);
                    if self.processes[who].is_dead {
                        continue;
                    }
                    any |= self.processes[who].follow(&mut self.scene);
                }
                let Self {
                    scene,
                    broker,
                    processes,
                    ..
                } = self;
                let process = &mut processes[who];
                // As in the host, a reading begins again a while after it was cancelled.
                if process.is_written() {
                    process.begin_again(scene);
                }
                for place in 0..process.sessions.len() {
                    any |= process.deliver(place, broker, scene);
                }
                for thread in 0..process.threads.len() {
                    any |= process.turn(thread, scene);
                }
                any |= process.go_on_swapping(scene);
                any |= process.ask_again(scene);
                any |= process.fire(scene);
                any |= process.operate(scene);
                any |= process.write(scene);
                checker::offsets(process, broker)?;
                any |= process.publish(broker, scene);
                process.note_published();
            }
            if let Some(violation) = self.scene.wrong.take() {
                return Err(violation);
            }
            if !any {
                let mut at_rest = true;
                for who in 0..self.processes.len() {
                    self.hand_store(who);
                    at_rest &= self.processes[who].is_at_rest(&self.broker);
                }
                if at_rest {
                    return Ok(());
                }
                // Retries and timers wait for the time.
                self.scene.now += 10;
            }
        }
        Err(Violation {
            invariant: 8,
            what: format!("the run does not come to rest: {}", self.unrest()),
        })
    }
}
