//! Connections counted by the address that they come from, each address within a bound. Knows addresses and numbers; not
//! what is connected.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Bits of an IPv6 address that one client is given at least, and may choose the others of as it likes.
const IPV6_NETWORK: u128 = !0 << 64;

/// How many connections each address has.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Most of one address; any number where none is given.
    most: Option<usize>,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of an address; counted until it is dropped.
#[derive(Debug)]
pub struct Counted(Option<(Arc<Addresses>, IpAddr)>);

impl Addresses {
    /// Each address may have so many connections.
    pub fn new(most: Option<usize>) -> Arc<Addresses> {
        Arc::new(Addresses { most, counts: Mutex::default() })
    }

    /// Most connections of one address, if there is a bound.
    pub fn most(&self) -> Option<usize> {
        self.most
    }

    /// Counts a connection; none when its address has as many as it may have. Nothing is counted without a bound.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let Some(most) = self.most else { return Some(Counted(None)) };
        let address = network(address);
        let mut counts = self.counts.lock();
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted(Some((self.clone(), address))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((addresses, address)) = &self.0 else { return };
        let mut counts = addresses.counts.lock();
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }
}

/// What is counted as one address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_bound() {
        let addresses = Addresses::new(Some(2));
        let enter = |text: &str| addresses.enter(text.parse().unwrap());
        let (one, two) = (enter("192.0.2.1").unwrap(), enter("::ffff:192.0.2.1").unwrap());
        assert!(enter("192.0.2.1").is_none());
        let other = enter("192.0.2.2").unwrap();
        drop(one);
        let again = enter("192.0.2.1").unwrap();
        drop((two, other, again));
        assert!(addresses.counts.lock().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let addresses = Addresses::new(Some(1));
        let enter = |text: &str| addresses.enter(text.parse().unwrap());
        let _one = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8::2:3:4:5").is_none());
        assert!(enter("2001:db8:0:1::1").is_some() && enter("::1").is_some());
    }

    #[test]
    fn nothing_is_counted_without_a_bound() {
        let addresses = Addresses::new(None);
        let all: Vec<_> = (0..100).map(|_| addresses.enter("::1".parse().unwrap())).collect();
        assert!(all.iter().all(Option::is_some) && addresses.counts.lock().is_empty());
    }
}
