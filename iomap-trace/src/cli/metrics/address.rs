//! The address of `--metrics`.

use std::net::{Ipv4Addr, SocketAddr};

/// A port on the loopback interface, or an address and a port.
///
/// # Errors
/// When it is neither.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse()
        .map_err(|_| "no port (9435) and no address with a port (127.0.0.1:9435)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_loopback() {
        let said = |text| address(text).map(|at| at.to_string());
        assert_eq!(said("9435").unwrap(), "127.0.0.1:9435");
        assert_eq!(said("[::1]:9435").unwrap(), "[::1]:9435");
        assert_eq!(said("0.0.0.0:1").unwrap(), "0.0.0.0:1");
        for wrong in ["", ":9435", "localhost", "70000", "1.2.3.4"] {
            assert!(said(wrong).is_err(), "{wrong}");
        }
    }
}
