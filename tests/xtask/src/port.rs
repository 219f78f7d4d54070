//! Ports: chosen by the reader for `up`, free ones for tests.

use std::fs::File;
use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, Result};

/// A port that a server of `up` listens on.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// The number.
    pub number: u16,
    /// Who listens.
    pub server: &'static str,
    /// The flag that changes it.
    pub flag: &'static str,
    /// The environment variable that changes it.
    pub variable: &'static str,
}

impl Port {
    /// Fails when somebody listens there.
    pub fn require_free(self) -> Result<()> {
        if is_free(self.number) {
            return Ok(());
        }
        let Self { number: port, server, flag, variable } = self;
        Err(Failure::PortTaken { port, server, flag, variable })
    }
}

/// The UDP ports of the numbers that this process has chosen, held until it ends. Nobody talks there: they tell other
/// processes, whose servers may also not listen yet, that the number is taken.
static CHOSEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port that nobody listens on and that no test was given, in this process or another that runs now. It lies below the
/// range from which the kernel takes the ports of outgoing connections: a server that is stopped and started again finds
/// its port still free, and a client that keeps trying it meanwhile cannot connect to itself.
pub fn free() -> Result<u16> {
    const ATTEMPTS: usize = 200;
    let mut random = File::open("/dev/urandom").map_err(Failure::io("open /dev/urandom"))?;
    for _ in 0..ATTEMPTS {
        let mut bytes = [0; 2];
        random.read_exact(&mut bytes).map_err(Failure::io("read /dev/urandom"))?;
        let port = 20_000 + u16::from_le_bytes(bytes) % 12_000;
        let claim = UdpSocket::bind(("127.0.0.1", port));
        if let (Ok(claim), true) = (claim, is_free(port)) {
            CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
            return Ok(port);
        }
    }
    Err(Failure::Refused("no free port between 20000 and 32000".to_owned()))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_makes_a_port_taken() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let number = listener.local_addr().unwrap().port();
        let port = Port { number, server: "NATS", flag: "--nats-port", variable: "NATS_PORT" };
        assert!(matches!(port.require_free(), Err(Failure::PortTaken { port, .. }) if port == number));
        drop(listener);
        assert!(port.require_free().is_ok());
    }

    #[test]
    fn no_port_is_given_twice() {
        let given: Vec<u16> = (0..300).map(|_| free().unwrap()).collect();
        let different: std::collections::HashSet<u16> = given.iter().copied().collect();
        assert_eq!(different.len(), given.len());
    }

    #[test]
    fn free_ports_stay_below_the_ephemeral_range() {
        assert!((20_000..32_000).contains(&free().unwrap()));
    }
}
