//! A network for a cluster on one machine that can be cut: each node in a network namespace of the kernel, with one interface for clients and one
//! for the other nodes.
//!
//! The bridge of clients has an address of the machine, so that generators, the stand-in and the ledger reach every node whatever is cut. Only what
//! goes between nodes is cut, in one direction or in both, by routes that lead nowhere: connections stay open and hear nothing more, as they do where
//! a cable is pulled. Needs root. All of it goes with its handle; what a run that was broken off has left is found by its name, and goes when the next
//! one begins.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;

use crate::process::{is_of_this_program, need_root, run_tool};

/// Names of namespaces: this, the process id of who made it, the node's number.
const NAMESPACES: &str = "flintwheel-prove-";
/// Where `ip netns` keeps them.
const NAMED: &str = "/run/netns";
/// Names of bridges and of the machine's ends of interfaces: this, the process id, and a number. The kernel allows 15 characters.
const CLIENTS: &str = "fwc";
const PEERS: &str = "fwp";
/// 198.18.0.0/15 is set aside for tests of networks: it is nobody's address.
const CLIENTS_NET: [u8; 2] = [198, 18];
const PEERS_NET: [u8; 2] = [198, 19];
/// The machine's own number on the bridge of clients.
const MACHINE: u8 = 254;

/// Namespaces, bridges and cuts. Nodes count from zero.
pub struct Network {
    tag: u32,
    nodes: usize,
    cuts: Mutex<BTreeSet<(usize, usize)>>,
}

impl Network {
    /// One for so many nodes, whole.
    pub fn make(nodes: usize) -> Result<Self> {
        need_root("network namespaces")?;
        ensure!((1..=9).contains(&nodes), "a network of {nodes} nodes; 1 to 9 are possible");
        sweep()?;
        let network = Self { tag: std::process::id(), nodes, cuts: Mutex::default() };
        let [clients, peers] = [CLIENTS, PEERS].map(|kind| network.bridge(kind));
        for bridge in [&clients, &peers] {
            ip(&["link", "add", bridge, "type", "bridge"])?;
        }
        ip(&["addr", "add", &format!("{}/24", network.host()), "dev", &clients])?;
        for bridge in [&clients, &peers] {
            ip(&["link", "set", bridge, "up"])?;
        }
        for node in 0..nodes {
            network.add(node)?;
        }
        Ok(network)
    }

    /// The machine, as its nodes reach it.
    pub fn host(&self) -> IpAddr {
        self.address(CLIENTS_NET, MACHINE)
    }

    /// Where clients reach a node.
    pub fn client_address(&self, node: usize) -> IpAddr {
        self.address(CLIENTS_NET, number(node))
    }

    /// Where other nodes reach it.
    pub fn peer_address(&self, node: usize) -> IpAddr {
        self.address(PEERS_NET, number(node))
    }

    /// The words before the command line of a program that is to run at a node.
    pub fn within(&self, node: usize) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net={NAMED}/{}", self.namespace(node)), "--".to_owned()]
    }

    /// Nothing that one node sends to another arrives any more.
    pub fn cut(&self, from: usize, to: usize) -> Result<()> {
        if self.cuts.lock().insert((from, to)) {
            self.route("add", from, to)?;
        }
        Ok(())
    }

    /// Neither hears the other.
    pub fn cut_both(&self, one: usize, other: usize) -> Result<()> {
        self.cut(one, other)?;
        self.cut(other, one)
    }

    /// All arrives again.
    pub fn heal(&self) -> Result<()> {
        for (from, to) in std::mem::take(&mut *self.cuts.lock()) {
            self.route("del", from, to)?;
        }
        Ok(())
    }

    fn route(&self, change: &str, from: usize, to: usize) -> Result<()> {
        let to = format!("{}/32", self.peer_address(to));
        ip(&["-n", &self.namespace(from), "route", change, "blackhole", &to])
    }

    fn add(&self, node: usize) -> Result<()> {
        let namespace = self.namespace(node);
        ip(&["netns", "add", &namespace])?;
        ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        for (kind, inside, address) in
            [(CLIENTS, "clients", self.client_address(node)), (PEERS, "peers", self.peer_address(node))]
        {
            let outside = format!("{}n{}", self.bridge(kind), number(node));
            ip(&["link", "add", &outside, "type", "veth", "peer", "name", inside, "netns", &namespace])?;
            ip(&["link", "set", &outside, "master", &self.bridge(kind), "up"])?;
            ip(&["-n", &namespace, "addr", "add", &format!("{address}/24"), "dev", inside])?;
            ip(&["-n", &namespace, "link", "set", inside, "up"])?;
        }
        Ok(())
    }

    /// Runs side by side have different process ids, and mostly different third bytes.
    fn address(&self, [first, second]: [u8; 2], last: u8) -> IpAddr {
        let third = u8::try_from(self.tag % 256).unwrap_or(0);
        Ipv4Addr::new(first, second, third, last).into()
    }

    fn namespace(&self, node: usize) -> String {
        format!("{NAMESPACES}{}-{}", self.tag, number(node))
    }

    fn bridge(&self, kind: &str) -> String {
        format!("{kind}{}", self.tag)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Interfaces go with the namespace of either end.
        for node in 0..self.nodes {
            let _ = ip(&["netns", "del", &self.namespace(node)]);
        }
        for kind in [CLIENTS, PEERS] {
            let _ = ip(&["link", "del", &self.bridge(kind)]);
        }
    }
}

fn number(node: usize) -> u8 {
    u8::try_from(node + 1).unwrap_or(u8::MAX)
}

fn ip(args: &[&str]) -> Result<()> {
    run_tool("ip", "iproute2", args).map(|_| ())
}

/// Removes what runs that were broken off have left.
fn sweep() -> Result<()> {
    for name in names(NAMED)? {
        if owner(&name, NAMESPACES).is_some_and(|owner| !is_of_this_program(owner)) {
            ip(&["netns", "del", &name])?;
        }
    }
    for name in names("/sys/class/net")? {
        let owner = [CLIENTS, PEERS].iter().find_map(|kind| owner(&name, kind));
        if owner.is_some_and(|owner| !is_of_this_program(owner)) {
            // An end of an interface whose namespace has gone goes by itself, sooner or later.
            let _ = ip(&["link", "del", &name]);
        }
    }
    Ok(())
}

/// The process id in a name of ours.
fn owner(name: &str, prefix: &str) -> Option<u32> {
    let rest = name.strip_prefix(prefix)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}

fn names(dir: &str) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {dir}")),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_whose_they_are() {
        for (name, prefix, expected) in [
            ("flintwheel-prove-123-1", NAMESPACES, Some(123)),
            ("fwc123", CLIENTS, Some(123)),
            ("fwc4194304n2", CLIENTS, Some(4_194_304)),
            ("fwp7n2", CLIENTS, None),
            ("fwclient", CLIENTS, None),
            ("eth0", PEERS, None),
        ] {
            assert_eq!(owner(name, prefix), expected, "{name}");
        }
        let network = Network { tag: 4_194_304, nodes: 0, cuts: Mutex::default() };
        assert!(format!("{}n9", network.bridge(CLIENTS)).len() <= 15);
    }

    #[test]
    fn this_program_is_alive_and_an_old_run_is_not() {
        assert!(is_of_this_program(std::process::id()));
        // Above what the kernel gives out.
        assert!(!is_of_this_program(u32::MAX / 2));
    }
}
