//! An authority for TLS listeners, and the certificates that it issues, as PEM files.
//!
//! Keys are ECDSA P-256 in PKCS#8, which OpenSSL and Java both read. A broker's certificate names
//! `localhost` and 127.0.0.1; a client's name is the principal under which the broker knows it.
//!
//! Must not know: listeners.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::broker::error::Error;

/// The validity of a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Validity {
    /// Valid, from 2020 to 2120.
    #[default]
    Valid,
    /// Expired: valid during 2020.
    Expired,
    /// Valid, but for another host. Clients are identified by their names, so a client's is
    /// accepted.
    OtherName,
    /// Signed by an unknown authority.
    OtherAuthority,
}

/// Two PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
    file: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the key.
        f.debug_struct("Authority")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority, with its files in this directory. Its certificate is `NAME.pem`.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn make(directory: &Path, name: &str) -> Result<Self, Error> {
        let params = authority(name);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let file = directory.join(format!("{name}.pem"));
        write(&file, &certificate.pem())?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            directory: directory.to_owned(),
            file,
        })
    }

    /// Its own certificate: a trust store for what it signs.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Issues a certificate for a client: `NAME.pem` and `NAME.key`. Existing files are replaced.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn client(&self, name: &str, validity: Validity) -> Result<Certificate, Error> {
        let mut params = params(name, validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, key) = self.sign(params, validity)?;
        let files = Certificate {
            certificate: self.directory.join(format!("{name}.pem")),
            key: self.directory.join(format!("{name}.key")),
        };
        write(&files.certificate, &certificate)?;
        write(&files.key, &key)?;
        Ok(files)
    }

    /// Issues a certificate for a server on this machine: one file with certificate and key, as
    /// Kafka wants it.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn server(&self, file: &Path, validity: Validity) -> Result<(), Error> {
        let host = match validity {
            Validity::OtherName => "elsewhere.example",
            _ => "localhost",
        };
        let mut params = params(host, validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::DnsName(host.try_into()?)];
        if validity != Validity::OtherName {
            let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        let (certificate, key) = self.sign(params, validity)?;
        write(file, &(key + &certificate))
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        validity: Validity,
    ) -> Result<(String, String), Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = if validity == Validity::OtherAuthority {
            params.signed_by(
                &key,
                &Issuer::new(authority("unknown"), KeyPair::generate()?),
            )?
        } else {
            params.signed_by(&key, &self.issuer)?
        };
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name, Validity::Valid);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, DnValue::Utf8String(name.to_owned()));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = match validity {
        Validity::Expired => date_time_ymd(2021, 1, 1),
        Validity::Valid | Validity::OtherName | Validity::OtherAuthority => {
            date_time_ymd(2120, 1, 1)
        }
    };
    params
}

fn write(file: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(file, text).map_err(Error::at("can't write", file))
}
