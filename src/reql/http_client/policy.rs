//! Which addresses requests may go to. Knows addresses and ports; not what is asked there.
//!
//! A query can make the server ask others on its behalf, with the server's place in the network. Addresses at which
//! machines of a cloud tell their secrets are refused unless the operator says otherwise, and the server's own ports
//! always: a query there would be another client's.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Where requests may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether there are any requests.
    pub allowed: bool,
    /// Where none goes to.
    pub denied: Vec<Network>,
    /// The ports of this server.
    pub own_ports: Vec<u16>,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// Link-local addresses, among them those of the metadata services of most clouds, and those of the others.
const DENIED: [&str; 4] =
    ["169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32"];

impl Default for Policy {
    fn default() -> Policy {
        let denied = DENIED.iter().filter_map(|text| Network::parse(text)).collect();
        Policy { allowed: true, denied, own_ports: Vec::new() }
    }
}

impl Policy {
    /// Whether a request may go to this address, as far as it does not depend on the port.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        !self.denied.iter().any(|network| network.contains(address))
    }

    /// Whether it is one of the server's own ports, on an address of this machine.
    pub(super) fn is_own(&self, address: SocketAddr) -> bool {
        self.own_ports.contains(&address.port()) && is_of_this_machine(address.ip())
    }
}

/// Whether an address is one of this machine's: only those can be bound.
pub(super) fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address.to_canonical(), 0)).is_ok()
}

impl Network {
    /// Reads `ADDRESS/BITS`, or an address alone.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { address, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let differ = match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_secrets_are_denied_by_default() {
        let policy = Policy::default();
        let allows = |text: &str| policy.allows(text.parse().unwrap());
        for denied in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"] {
            assert!(!allows(denied), "{denied}");
        }
        for allowed in ["127.0.0.1", "10.0.0.1", "169.253.1.1", "::1", "fd00:ec2::253"] {
            assert!(allows(allowed), "{allowed}");
        }
        assert_eq!(policy.denied.len(), DENIED.len());
    }

    #[test]
    fn networks_are_read_and_compared() {
        let contains = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("10.0.0.7", "10.0.0.7") && !contains("10.0.0.7", "10.0.0.6"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "host/8", "10.0.0.0/"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn own_ports_are_those_of_this_machine() {
        let policy = Policy { own_ports: vec![28015], ..Policy::default() };
        let is_own = |text: &str| policy.is_own(text.parse().unwrap());
        assert!(is_own("127.0.0.1:28015") && is_own("[::1]:28015") && is_own("0.0.0.0:28015"));
        assert!(!is_own("127.0.0.1:80") && !is_own("192.0.2.1:28015"));
    }
}
