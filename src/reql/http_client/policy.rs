//! Which addresses requests may go to. Knows addresses and ports; not what is asked there.
//!
//! A query can make the server ask others on its behalf, with the server's place in the network. Addresses at which
//! machines of a cloud tell their secrets are refused unless the operator says otherwise, and the server's own ports
//! always: a query there would be another client's.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

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
        let denied = |meant| self.denied.iter().any(|network| network.contains(meant));
        !meant_by(address).any(denied)
    }

    /// Whether it is one of the server's own ports, on an address of this machine.
    pub(super) fn is_own(&self, address: SocketAddr) -> bool {
        self.own_ports.contains(&address.port()) && meant_by(address.ip()).any(is_of_this_machine)
    }
}

/// Where a packet to an address may end: there, and at the IPv4 address that it stands for.
fn meant_by(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let within = match address.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => within(address).map(IpAddr::V4),
    };
    [Some(address), within].into_iter().flatten()
}

/// The IPv4 address within one of IPv6 that gateways translate or unpack: of NAT64 (64:ff9b::/96), of 6to4 (2002::/16), or
/// compatible with IPv4 (::/96). Those that are mapped (::ffff:0:0/96) are compared as what they are.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let last = Ipv4Addr::from_bits(bits as u32);
    match (address.segments(), bits >> 32) {
        (_, NAT64) => Some(last),
        // The first ones are that of nobody and that of this machine.
        (_, 0) if bits > 1 => Some(last),
        ([0x2002, ..], _) => Some(Ipv4Addr::from_bits((bits >> 80) as u32)),
        _ => None,
    }
}

/// The first 96 bits of addresses of NAT64.
const NAT64: u128 = 0x0064_ff9b << 64;

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
        let bits: u32 = bits.unwrap_or(most);
        if bits > most {
            return None;
        }
        // Addresses are compared in their own form: those of a network that are mapped are of IPv4.
        let mapped = if bits >= MAPPED_BITS { address.to_canonical() } else { address };
        let bits = if mapped == address { bits } else { bits - MAPPED_BITS };
        Some(Network { address: mapped, bits })
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

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// How the IPv6 form of an IPv4 address begins.
const MAPPED_BITS: u32 = 96;

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
    fn every_form_of_a_denied_address_is_denied() {
        let mut policy = Policy::default();
        policy.denied.extend(["10.0.0.0/8", "::ffff:192.0.2.0/120"].map(network));
        let allows = |text: &str| policy.allows(text.parse().unwrap());
        for form in ["::ffff:", "64:ff9b::", "::"] {
            for denied in ["169.254.169.254", "100.100.100.200", "10.1.2.3", "192.0.2.9"] {
                assert!(!allows(&format!("{form}{denied}")), "{form}{denied}");
            }
            for allowed in ["8.8.8.8", "11.1.2.3", "192.0.3.9"] {
                assert!(allows(&format!("{form}{allowed}")), "{form}{allowed}");
            }
        }
        assert!(!allows("2002:a9fe:a9fe::1") && allows("2002:808:808::1"));
        assert!(!allows("192.0.2.9") && allows("::") && allows("::1"));
        // What is denied as IPv6 stays denied.
        policy.denied = vec![network("64:ff9b::/96")];
        assert!(!policy.allows("64:ff9b::8.8.8.8".parse().unwrap()));
    }

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap()
    }

    #[test]
    fn own_ports_are_those_of_this_machine() {
        let policy = Policy { own_ports: vec![28015], ..Policy::default() };
        let is_own = |text: &str| policy.is_own(text.parse().unwrap());
        assert!(is_own("127.0.0.1:28015") && is_own("[::1]:28015") && is_own("0.0.0.0:28015"));
        assert!(is_own("[::ffff:127.0.0.1]:28015") && is_own("[64:ff9b::127.0.0.1]:28015"));
        assert!(!is_own("127.0.0.1:80") && !is_own("192.0.2.1:28015"));
    }
}
