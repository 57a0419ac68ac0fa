//! Options of a run that is left alone: who may look at it, and what it may cost.

use std::net::SocketAddr;
use std::time::Duration;

use super::metrics::address;
use super::standby::QUIET;
use crate::log::time;

/// Metrics, and the limit to the overhead.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Upkeep {
    /// Serve OpenMetrics at /metrics on this port of the loopback interface, or this address
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub metrics: Option<SocketAddr>,
    /// Shed optional hooks when the BPF programs take more of one CPU's time
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_overhead: Option<f64>,
    /// Attach most hooks at the first failure only, and wait again when there was none for this time
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = time, default_missing_value = QUIET)]
    pub standby: Option<Duration>,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    percent
        .ok()
        .filter(|percent| percent.is_finite() && *percent > 0.0)
        .ok_or_else(|| "no percentage above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_above_nothing() {
        assert_eq!(percent("2.5"), Ok(2.5));
        assert_eq!(percent("150%"), Ok(150.0));
        for wrong in ["0", "-1", "nan", "inf", "", "two"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
