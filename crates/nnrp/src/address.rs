//! Addresses of servers.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::error::ConnectError;

/// Longest host name that the DNS knows.
const MAX_HOST: usize = 253;

/// What the scheme of an address promises. It never names the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `nnrps`: encrypted and verified, over QUIC or TCP.
    Tls,
    /// `nnrp`: plain TCP. Everything travels in clear.
    Plain,
}

/// `nnrps://host:port`, or `nnrp://host:port` where plain TCP is meant. There is no default port; IPv6 addresses stand in
/// brackets.
///
/// ```
/// use nnrp::{Address, Scheme};
///
/// let address: Address = "nnrps://[2001:db8::7]:4433".parse()?;
/// assert_eq!((address.scheme(), address.host(), address.port()), (Scheme::Tls, "2001:db8::7", 4433));
/// assert_eq!(address.to_string(), "nnrps://[2001:db8::7]:4433");
/// # Ok::<(), nnrp::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// A text that is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address of a server: {reason} (nnrps://host:port is one)")]
pub struct AddressError {
    text: String,
    reason: &'static str,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|reason| {
            // Not everything: it may hold a password, and have any length.
            let shown = text.rsplit_once('@').map_or(text, |(_, shown)| shown);
            AddressError { text: shown.chars().take(MAX_HOST).collect(), reason }
        })
    }
}

fn parse(text: &str) -> Result<Address, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    let scheme = if scheme.eq_ignore_ascii_case("nnrps") {
        Scheme::Tls
    } else if scheme.eq_ignore_ascii_case("nnrp") {
        Scheme::Plain
    } else {
        return Err("its scheme is neither nnrps nor nnrp");
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err("nothing may follow the port");
    }
    if rest.contains('@') {
        return Err("credentials belong in the auth block");
    }
    let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
        let (host, port) = inner.split_once(']').ok_or("its bracket is not closed")?;
        host.parse::<Ipv6Addr>().map_err(|_| "what stands in brackets is no IPv6 address")?;
        (host, port.strip_prefix(':').ok_or("it has no port")?)
    } else {
        let (host, port) = rest.rsplit_once(':').ok_or("it has no port")?;
        if host.contains(':') {
            return Err("an IPv6 address stands in brackets");
        }
        (host, port)
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    if host.is_empty() {
        return Err("it has no host");
    }
    if host.len() > MAX_HOST || !host.bytes().all(named) {
        return Err("its host is no name (international names are written in ASCII)");
    }
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or("its port is not in 1..65535")?;
    Ok(Address { scheme, host: host.to_owned(), port })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Tls => "nnrps",
            Scheme::Plain => "nnrp",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    /// What it promises.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The name or address, without brackets: what a certificate is verified for.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        Ok(found.map_err(|source| self.not_found(source))?.collect())
    }

    /// The error of a host without an address.
    pub(crate) fn unknown(&self) -> ConnectError {
        self.not_found(std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address"))
    }

    fn not_found(&self, source: std::io::Error) -> ConnectError {
        ConnectError::Resolve { host: self.host.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> &'static str {
        text.parse::<Address>().expect_err(text).reason
    }

    #[test]
    fn names_and_addresses_are_hosts() {
        for (text, scheme, host, port) in [
            ("nnrps://render.example:4433", Scheme::Tls, "render.example", 4433),
            ("NNRPS://10.0.0.1:1/", Scheme::Tls, "10.0.0.1", 1),
            ("nnrp://[::1]:65535", Scheme::Plain, "::1", 65535),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.scheme(), address.host(), address.port()), (scheme, host, port));
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        assert_eq!(reason("render.example:4433"), "it has no scheme");
        assert_eq!(reason("https://render.example:4433"), "its scheme is neither nnrps nor nnrp");
        assert_eq!(reason("nnrps://render.example"), "it has no port");
        assert_eq!(reason("nnrps://[::1]"), "it has no port");
        assert_eq!(reason("nnrps://:4433"), "it has no host");
        assert_eq!(reason("nnrps://::1:4433"), "an IPv6 address stands in brackets");
        assert_eq!(reason("nnrps://[::1:4433"), "its bracket is not closed");
        assert_eq!(reason("nnrps://[render]:4433"), "what stands in brackets is no IPv6 address");
        assert_eq!(reason("nnrps://me:secret@host:4433"), "credentials belong in the auth block");
        assert_eq!(reason("nnrps://host:4433/model"), "nothing may follow the port");
        for port in ["", "0", "65536", "+1", "http", "-1"] {
            assert_eq!(reason(&format!("nnrps://host:{port}")), "its port is not in 1..65535");
        }
        let host = reason("nnrps://a host:4433");
        assert!(host.starts_with("its host is no name"), "{host}");
        assert!(reason(&format!("nnrps://{}:1", "a".repeat(300))).starts_with("its host is no name"));
    }
}
