//! The built files of a checkout, and the hosts that use them.
//!
//! Owns: the default paths of program and components, and checks before the start: for missing
//! files, and ports in use. With Kafka each participant is a process of its own.
//!
//! Must not know: processes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use saga_testkit::host::{Launch, LaunchedParticipant};

/// The program and the components of all hosts, as options.
#[derive(Debug, Clone, Args)]
pub struct Binaries {
    /// The host
    #[arg(long, value_name = "PATH", default_value_os_t = program())]
    pub saga: PathBuf,
    /// The component with the customer's rules
    #[arg(long, value_name = "PATH", default_value_os_t = component("customer"))]
    pub customer: PathBuf,
    /// The component with the order's rules
    #[arg(long, value_name = "PATH", default_value_os_t = component("order"))]
    pub order: PathBuf,
}

/// Ports of the two services; 0 for a free one.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServicePorts {
    /// The customer service.
    pub customer: u16,
    /// The order service.
    pub order: u16,
}

/// The target directory of the checkout that this was built from; if it does not exist, that of the
/// current directory.
pub fn target() -> PathBuf {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let root = built_from.filter(|root| root.is_dir());
    root.unwrap_or(Path::new(".")).join("target")
}

/// The host's program in [`target`].
pub fn program() -> PathBuf {
    target().join("release/saga")
}

/// The directory of the components in [`target`].
pub fn components() -> PathBuf {
    target().join("wasm32-wasip2/release")
}

/// A component in [`components`].
pub fn component(name: &str) -> PathBuf {
    components().join(format!("{name}.wasm"))
}

impl Binaries {
    /// One host with both participants, over the embedded log.
    pub fn together(&self, data: &Path, ports: ServicePorts) -> Launch {
        host(&self.saga, data)
            .participant("customer", &self.customer, ports.customer)
            .participant("order", &self.order, ports.order)
    }

    /// Two hosts with one participant each, for [`Launch::over`] Kafka. Each has a directory of its
    /// own in `data`.
    pub fn apart(&self, data: &Path, ports: ServicePorts) -> [Launch; 2] {
        let alone = |name: &str, component: &Path, port| {
            host(&self.saga, &data.join(name)).participant(name, component, port)
        };
        [
            alone("customer", &self.customer, ports.customer),
            alone("order", &self.order, ports.order),
        ]
    }
}

/// A host without participants. The state of an earlier run may exist, but the given rules must be
/// active: hence `--apply`.
pub fn host(saga: &Path, data: &Path) -> Launch {
    Launch {
        own_group: true,
        ..Launch::new(saga, data).arguments(&["--apply"])
    }
}

/// Reads a component.
///
/// # Errors
/// It can't be read; the text says how to build it.
pub fn read(component: &Path) -> Result<Bytes> {
    let bytes = std::fs::read(component).with_context(|| {
        format!(
            "can't read {}: build it with `make components`",
            component.display()
        )
    })?;
    Ok(bytes.into())
}

/// Finds problems that the host would report too, but in its log.
///
/// # Errors
/// A file is missing, or a port is in use; the text says what to do.
pub fn check(launch: &Launch) -> Result<()> {
    check_file(&launch.program, "--saga", "make build")?;
    for LaunchedParticipant {
        name,
        component,
        port,
    } in &launch.participants
    {
        check_file(component, &format!("--{name}"), "make components")?;
        check_port(*port, name)?;
    }
    Ok(())
}

/// Checks that a file exists.
///
/// # Errors
/// It does not; the text says how to build it, and with which option to say where it is.
pub fn check_file(path: &Path, option: &str, build: &str) -> Result<()> {
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
mod tests {
    use super::*;
    use crate::mock::{script, script_alone};

    #[test]
    fn together_and_apart_are_command_lines_of_the_host() {
        let binaries = Binaries {
            saga: "saga".into(),
            customer: "c.wasm".into(),
            order: "o.wasm".into(),
        };
        let ports = ServicePorts {
            customer: 8081,
            order: 8082,
        };
        assert_eq!(
            binaries.together(Path::new("data"), ports).command_line(),
            "saga run --data data --plugin customer=c.wasm --listen customer=127.0.0.1:8081 --plugin order=o.wasm \
             --listen order=127.0.0.1:8082 --apply"
        );
        let [customer, order] = binaries.apart(Path::new("data"), ports);
        assert_eq!(
            customer.over("k:9092").command_line(),
            "saga run --data data/customer --plugin customer=c.wasm --listen customer=127.0.0.1:8081 --apply \
             --kafka k:9092"
        );
        assert_eq!(order.title(), "the order host");
        assert!(order.command_line().contains("--data data/order"));
    }

    #[test]
    fn missing_files_are_named_with_a_remedy() {
        let data = tempfile::tempdir().unwrap();
        let missing = Launch {
            program: data.path().join("no-saga"),
            ..script_alone(data.path())
        };
        let error = check(&missing).unwrap_err().to_string();
        assert!(
            error.contains("no-saga does not exist") && error.contains("--saga"),
            "{error}"
        );

        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let customer = taken.local_addr().unwrap().port();
        let in_use = script().together(data.path(), ServicePorts { customer, order: 0 });
        let error = check(&in_use).unwrap_err().to_string();
        assert!(error.contains(&format!("port {customer}")), "{error}");
        assert!(error.contains("--customer-port"), "{error}");
    }
}
