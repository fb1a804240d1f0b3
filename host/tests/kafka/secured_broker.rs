//! A broker that asks who comes, which tests share, and the ways to it.
//!
//! All listeners are there, with users, client certificates and tokens, and a user may do only what it is
//! allowed. Exempt from that are the plain listener, `ann` (by a password or by a token) and two clients with
//! certificates: those tests are about who comes, not about what for.
//!
//! Must not know: what is tested.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use saga_testkit::broker::{
    Broker, Certificate, Issuer, IssuerClient, Security, Settings, User, Validity,
};

use crate::cluster::Cluster;
use crate::support::Start;

/// The user who may do everything, with this password and this client secret.
pub const ANN: &str = "ann";
pub const PASSWORD: &str = "Long-Password-Of-Ann";
pub const CLIENT_SECRET: &str = "Long-Client-Secret-Of-Ann";

/// Seconds for which a token is good. It is renewed when four fifths of them are over. Kafka lets nobody log in anew
/// twice within a second, so that what is left then must be more than that.
pub const LIFETIME_S: u64 = 6;

/// The certificate's user who may do everything.
pub const CERTIFIED: [&str; 2] = ["certified-1", "certified-2"];

/// Users who may do nothing, each for one test.
const OTHERS: [&str; 5] = ["customers", "orders", "newcomer", "forgetful", "forgotten"];

/// The broker.
pub struct Secured {
    pub broker: Broker,
    /// Its plain listener.
    pub cluster: Cluster,
    pub issuer: Issuer,
}

/// One way to the broker: a listener, and what it asks for.
#[derive(Clone)]
pub struct Way {
    bootstrap: String,
    settings: Vec<(&'static str, String)>,
}

static SHARED: Mutex<Option<Arc<Secured>>> = Mutex::new(None);

/// The broker that tests share; it ends with [`end`].
pub fn shared() -> Arc<Secured> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.get_or_insert_with(|| Arc::new(start())).clone()
}

/// Ends the shared broker.
pub fn end() {
    drop(SHARED.lock().unwrap_or_else(PoisonError::into_inner).take());
}

fn start() -> Secured {
    let issuer = Issuer::start(IssuerClient {
        id: ANN.to_owned(),
        secret: CLIENT_SECRET.to_owned(),
        lifetime_s: LIFETIME_S,
    });
    let issuer = issuer.unwrap();
    let mut users = vec![User::new(ANN, PASSWORD)];
    users.extend(OTHERS.map(|name| User::new(name, &password(name))));
    let exempt = ["ANONYMOUS", ANN].into_iter().chain(CERTIFIED);
    let exempt: Vec<_> = exempt.map(|name| format!("User:{name}")).collect();
    let exempt = exempt.join(";");
    // Who does not come with a new token when the old one is over is hung up on, at once.
    let properties = [
        ("super.users", exempt.as_str()),
        ("sasl.oauthbearer.clock.skew.seconds", "0"),
        (
            "listener.name.sasl.oauthbearer.connections.max.reauth.ms",
            "3600000",
        ),
        (
            "listener.name.sasltls.oauthbearer.connections.max.reauth.ms",
            "3600000",
        ),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = Settings {
        security: Some(Security {
            users,
            authorize: true,
            tokens: Some(issuer.tokens()),
            ..Security::default()
        }),
        properties: BTreeMap::from(properties),
        ..Settings::default()
    };
    let broker = Broker::start(&settings).unwrap();
    Secured {
        cluster: Cluster::at(broker.bootstrap()),
        broker,
        issuer,
    }
}

/// Password of one who may do nothing.
pub fn password(user: &str) -> String {
    format!("Password-of-{user}")
}

impl Secured {
    /// Over TLS.
    pub fn tls(&self) -> Way {
        tls(&self.broker)
    }

    /// Over TLS, to a listener that wants a certificate of the client.
    pub fn mutual(&self, certificate: Option<&Certificate>) -> Way {
        let way = trusting(&self.broker, self.broker.mutual_tls().unwrap());
        match certificate {
            None => way,
            Some(files) => way
                .with("kafka.tls.certificate_file", files.certificate.display())
                .with("kafka.tls.key_file", files.key.display()),
        }
    }

    /// A certificate of a client, for one test each. Those in [`CERTIFIED`] may do everything.
    pub fn certificate(&self, client: &str, validity: Validity) -> Certificate {
        let authority = self.broker.authority().unwrap();
        authority.client(client, validity).unwrap()
    }

    /// With a login that the caller completes, over TLS or without.
    pub fn login(&self, is_tls: bool, mechanism: &str) -> Way {
        let way = if is_tls {
            trusting(&self.broker, self.broker.sasl_tls().unwrap())
        } else {
            Way {
                bootstrap: self.broker.sasl().unwrap(),
                settings: Vec::new(),
            }
        };
        way.with("kafka.sasl.mechanism", mechanism)
    }

    /// With a password.
    pub fn password(&self, is_tls: bool, mechanism: &str, user: &str, password: &str) -> Way {
        self.login(is_tls, mechanism)
            .with("kafka.sasl.username", user)
            .with("kafka.sasl.password", password)
    }

    /// With a token of the issuer.
    pub fn token(&self, is_tls: bool) -> Way {
        self.login(is_tls, "OAUTHBEARER")
            .with("kafka.sasl.token_endpoint", self.issuer.token_endpoint())
            .with("kafka.sasl.client_id", ANN)
            .with("kafka.sasl.client_secret", CLIENT_SECRET)
            .with("kafka.sasl.scope", "kafka")
    }
}

/// Over TLS to this broker.
pub fn tls(broker: &Broker) -> Way {
    trusting(broker, broker.tls().unwrap())
}

fn trusting(broker: &Broker, bootstrap: String) -> Way {
    let way = Way {
        bootstrap,
        settings: Vec::new(),
    };
    way.with(
        "kafka.tls.ca_file",
        broker.authority().unwrap().file().display(),
    )
}

impl Way {
    /// With a setting; it replaces an earlier one of the same name.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_string()));
        self
    }

    /// A host that goes this way. The settings are in its environment.
    pub fn take(&self, start: Start) -> Start {
        let start = start.setting("kafka.bootstrap", &self.bootstrap);
        (self.settings.iter()).fold(start, |start, (name, value)| start.setting(name, value))
    }

    /// Host and port.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}
