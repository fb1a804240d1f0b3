//! How to start a host: its binary, its participants, its directory, its settings.
//!
//! Owns: the command line, and what can be checked before anything is started: files that are
//! missing, ports that are taken. A launch has one participant or several; with Kafka each may be
//! a process of its own.
//!
//! Must not know: processes.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

/// How to start one host.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The host's binary.
    pub(crate) saga: PathBuf,
    /// Whom it serves.
    pub(crate) participants: Vec<Participant>,
    /// Directory for the state and the log; made if missing.
    pub(crate) data: PathBuf,
    /// Kafka's `HOST:PORT`; none for the embedded log.
    pub(crate) kafka: Option<String>,
    /// Further settings, as the text of a settings file; empty for none.
    pub(crate) settings: String,
}

/// A participant of a host.
#[derive(Debug, Clone)]
pub(crate) struct Participant {
    /// `customer` or `order`.
    pub(crate) name: &'static str,
    /// The component with its rules.
    pub(crate) component: PathBuf,
    /// Where it listens on 127.0.0.1; 0 takes a free port.
    pub(crate) port: u16,
}

/// What all launches of a run are made of.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    /// The host's binary.
    pub(crate) saga: PathBuf,
    /// The component with the customer's rules.
    pub(crate) customer: PathBuf,
    /// The component with the order's rules.
    pub(crate) order: PathBuf,
}

/// Ports of the two services; 0 takes a free one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ports {
    /// The customer service.
    pub(crate) customer: u16,
    /// The order service.
    pub(crate) order: u16,
}

impl Binaries {
    /// One host with both participants, over the embedded log.
    pub(crate) fn together(&self, data: &Path, ports: Ports) -> Launch {
        Launch {
            saga: self.saga.clone(),
            participants: vec![self.customer_at(ports.customer), self.order_at(ports.order)],
            data: data.to_owned(),
            kafka: None,
            settings: String::new(),
        }
    }

    /// Two hosts with one participant each, to be put [`Launch::over`] Kafka. Each has a directory of its own
    /// in `data`.
    pub(crate) fn apart(&self, data: &Path, ports: Ports) -> [Launch; 2] {
        [self.customer_at(ports.customer), self.order_at(ports.order)].map(|participant| Launch {
            saga: self.saga.clone(),
            data: data.join(participant.name),
            participants: vec![participant],
            kafka: None,
            settings: String::new(),
        })
    }

    fn customer_at(&self, port: u16) -> Participant {
        Participant {
            name: "customer",
            component: self.customer.clone(),
            port,
        }
    }

    fn order_at(&self, port: u16) -> Participant {
        Participant {
            name: "order",
            component: self.order.clone(),
            port,
        }
    }
}

impl Launch {
    /// The same over the Kafka at `HOST:PORT`.
    pub(crate) fn over(self, kafka: &str) -> Self {
        Self {
            kafka: Some(kafka.to_owned()),
            ..self
        }
    }

    /// What the host is called: after its participant, where it has only one.
    pub(crate) fn title(&self) -> String {
        match self.participants.as_slice() {
            [only] => format!("the {} host", only.name),
            _ => "the host".to_owned(),
        }
    }

    /// The command line, for people.
    pub(crate) fn command_line(&self) -> String {
        let mut words = vec![self.saga.display().to_string()];
        words.extend(self.arguments());
        words.join(" ")
    }

    /// The state of an earlier run may be there, and the rules of this one are to decide all the same: hence `--apply`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["run".to_owned(), "--apply".to_owned()];
        let mut add = |option: &str, value: String| {
            arguments.push(option.to_owned());
            arguments.push(value);
        };
        for participant in &self.participants {
            let component = participant.component.display();
            add("--plugin", format!("{}={component}", participant.name));
        }
        add("--data", self.data.display().to_string());
        for Participant { name, port, .. } in &self.participants {
            add("--listen", format!("{name}=127.0.0.1:{port}"));
        }
        if let Some(kafka) = &self.kafka {
            add("--kafka", kafka.clone());
        }
        if !self.settings.is_empty() {
            add("--config", self.settings_file().display().to_string());
        }
        arguments
    }

    /// Where [`Launch::settings`] go.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.data.join("settings.toml")
    }

    /// Checks what the host would say too, but in its own words and in a log.
    ///
    /// # Errors
    /// A file is missing, or a port is taken; the text says what to do.
    pub(crate) fn check(&self) -> Result<()> {
        check_file(&self.saga, "--saga", "make build")?;
        for Participant {
            name,
            component,
            port,
        } in &self.participants
        {
            check_file(component, &format!("--{name}"), "make components")?;
            check_port(*port, name)?;
        }
        Ok(())
    }
}

fn check_file(path: &Path, option: &str, build: &str) -> Result<()> {
    ensure!(
        path.is_file(),
        "{} does not exist: build it with `{build}`, or say with {option} where it is",
        path.display()
    );
    Ok(())
}

fn check_port(port: u16, name: &str) -> Result<()> {
    match std::net::TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "port {port} for the {name} service can't be used ({error}): end the program that listens there \
             (`ss -ltnp 'sport = :{port}'` names it), or choose another with --{name}-port"
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The script that stands in for a host, and for the components, which it does not read.
    pub(crate) fn binaries() -> Binaries {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/host.sh");
        Binaries {
            saga: script.clone(),
            customer: script.clone(),
            order: script,
        }
    }

    /// A launch of that script with both participants.
    pub(crate) fn launch(data: &Path) -> Launch {
        binaries().together(data, Ports::default())
    }

    #[test]
    fn together_and_apart_are_command_lines_of_the_host() {
        let binaries = Binaries {
            saga: "saga".into(),
            customer: "c.wasm".into(),
            order: "o.wasm".into(),
        };
        let ports = Ports {
            customer: 8081,
            order: 8082,
        };
        assert_eq!(
            binaries.together(Path::new("data"), ports).command_line(),
            "saga run --apply --plugin customer=c.wasm --plugin order=o.wasm --data data --listen customer=127.0.0.1:8081 \
             --listen order=127.0.0.1:8082"
        );
        let [customer, order] = binaries.apart(Path::new("data"), ports);
        assert_eq!(
            customer.over("k:9092").command_line(),
            "saga run --apply --plugin customer=c.wasm --data data/customer --listen customer=127.0.0.1:8081 --kafka k:9092"
        );
        assert_eq!(order.title(), "the order host");
        assert!(order.command_line().contains("--data data/order"));
    }

    #[test]
    fn what_is_missing_and_what_to_do_is_said() {
        let data = tempfile::tempdir().unwrap();
        let missing = Launch {
            saga: data.path().join("no-saga"),
            ..launch(data.path())
        };
        let error = missing.check().unwrap_err().to_string();
        assert!(
            error.contains("no-saga does not exist") && error.contains("--saga"),
            "{error}"
        );

        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let customer = taken.local_addr().unwrap().port();
        let in_use = binaries().together(data.path(), Ports { customer, order: 0 });
        let error = in_use.check().unwrap_err().to_string();
        assert!(error.contains(&format!("port {customer}")), "{error}");
        assert!(error.contains("--customer-port"), "{error}");
    }
}
