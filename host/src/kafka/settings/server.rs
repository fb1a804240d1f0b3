//! One of the servers in `bootstrap`: `HOST:PORT`, as librdkafka takes it.
//!
//! librdkafka takes nearly anything: a port beyond 65535 becomes another one, and what has a wrong separator is one long
//! name that nobody knows.

/// Protocols that may stand before a server, with `://`.
const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];

/// Says what is wrong with a server, in words that follow it.
pub(crate) fn check(server: &str) -> Result<(), String> {
    let address = match server.split_once("://") {
        Some((protocol, rest)) => {
            let is_known = |known: &&str| known.eq_ignore_ascii_case(protocol);
            if !PROTOCOLS.iter().any(is_known) {
                return Err(format!(
                    "has the protocol {protocol}, which is none of Kafka's"
                ));
            }
            rest
        }
        None => server,
    };
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("has a `[` without a `]`")?;
            (host, rest.strip_prefix(':'))
        }
        None => address
            .split_once(':')
            .map_or((address, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("names no host".into());
    }
    let is_of_a_name = |c: char| c.is_alphanumeric() || "-._:%".contains(c);
    if let Some(other) = host.chars().find(|c| !is_of_a_name(*c)) {
        return Err(format!("has `{other}` in the name of the host"));
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => Err("has a port that is not between 1 and 65535".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn hosts_with_and_without_port_and_protocol_are_taken() {
        for server in [
            "localhost:9092",
            "localhost",
            "127.0.0.1:29092",
            "[::1]:9092",
            "[fe80::1%eth0]:9092",
            "SASL_SSL://b-1.shop_kafka.example.com:9098",
        ] {
            assert_eq!(check(server), Ok(()), "{server}");
        }
    }

    #[test]
    fn what_nobody_could_connect_to_is_refused() {
        for server in [
            "",
            ":9092",
            "localhost:99999",
            "localhost:0",
            "localhost:",
            "localhost:kafka",
            "a:1;b:2",
            "127.0.0.1 :9092",
            "http://localhost:9092",
            "[::1:9092",
            "a:1/b",
        ] {
            assert!(check(server).is_err(), "{server}");
        }
    }
}
