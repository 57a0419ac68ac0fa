//! How cost grows with what is open.

use serde::Serialize;

/// Growth that a machine's noise can make of none.
const NOISE: f64 = 1.15;

/// A cost `a + b·log2(n)` and, of the same points, a cost `a·n^k`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Nanoseconds at n = 1, of the logarithm's line.
    pub a_ns: f64,
    /// Nanoseconds that each doubling of what is open adds.
    pub per_doubling_ns: f64,
    /// Sum of the squares that the line leaves, in ns².
    pub log_residual: f64,
    /// Exponent of the power.
    pub exponent: f64,
    /// Sum of the squares that the power leaves, in ns².
    pub power_residual: f64,
    /// Cost at the largest n over that at the smallest.
    pub growth: f64,
    /// The same of the logarithm itself.
    pub log_growth: f64,
}

impl Fit {
    /// Fits both to points of (open, ns per event), from the smallest `open` on. `None` for fewer
    /// than three points, or what is no cost.
    pub fn of(points: &[(u64, f64)]) -> Option<Self> {
        let usable = |(open, ns): &(u64, f64)| *open >= 2 && *ns > 0.0;
        if points.len() < 3 || !points.iter().all(usable) {
            return None;
        }
        let costs: Vec<f64> = points.iter().map(|(_, ns)| *ns).collect();
        let logs: Vec<f64> = points
            .iter()
            .map(|(open, _)| (*open as f64).log2())
            .collect();
        let (a_ns, per_doubling_ns) = line(&logs, &costs)?;
        let log_costs: Vec<f64> = costs.iter().map(|ns| ns.log2()).collect();
        let (scale, exponent) = line(&logs, &log_costs)?;
        let residual = |model: &dyn Fn(f64) -> f64| {
            let squares = logs
                .iter()
                .zip(&costs)
                .map(|(x, y)| (y - model(*x)).powi(2));
            squares.sum::<f64>()
        };
        let last = points.len() - 1;
        Some(Self {
            a_ns,
            per_doubling_ns,
            log_residual: residual(&|x| a_ns + per_doubling_ns * x),
            exponent,
            power_residual: residual(&|x| (scale + exponent * x).exp2()),
            growth: costs[last] / costs[0],
            log_growth: logs[last] / logs[0],
        })
    }

    /// Whether cost grows no faster than the logarithm: from the smallest to the largest number it
    /// grows at most as log n does, noise apart.
    pub fn no_faster_than_log(&self) -> bool {
        self.growth <= self.log_growth * NOISE
    }

    /// A short verdict.
    pub fn verdict(&self) -> &'static str {
        match self.no_faster_than_log() {
            true if self.growth <= NOISE => "flat",
            true => "log n",
            false => "over log n",
        }
    }
}

/// Least squares: (a, b) of `y = a + b·x`.
fn line(x: &[f64], y: &[f64]) -> Option<(f64, f64)> {
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let spread: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    if spread == 0.0 {
        return None;
    }
    let both: f64 = x
        .iter()
        .zip(y)
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let b = both / spread;
    Some((mean_y - b * mean_x, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(cost: impl Fn(f64) -> f64) -> Fit {
        let points = [10, 100, 1_000, 10_000].map(|n| (n, cost(n as f64)));
        Fit::of(&points).unwrap()
    }

    #[test]
    fn a_constant_is_flat() {
        let fit = fit(|_| 120.0);
        assert!(fit.exponent.abs() < 1e-9 && fit.per_doubling_ns.abs() < 1e-9);
        assert_eq!(fit.verdict(), "flat");
    }

    #[test]
    fn a_logarithm_is_found() {
        let fit = fit(|n| 30.0 + 5.0 * n.log2());
        assert!((fit.a_ns - 30.0).abs() < 1e-6 && (fit.per_doubling_ns - 5.0).abs() < 1e-6);
        assert!(fit.log_residual < 1e-6 && fit.log_residual < fit.power_residual);
        assert_eq!(fit.verdict(), "log n");
    }

    #[test]
    fn a_power_is_found() {
        for (k, verdict) in [(0.5, "over log n"), (1.0, "over log n")] {
            let fit = fit(|n| 3.0 * n.powf(k));
            assert!((fit.exponent - k).abs() < 1e-9, "{fit:?}");
            assert!(fit.power_residual < fit.log_residual);
            assert_eq!(fit.verdict(), verdict);
        }
    }

    #[test]
    fn points_that_say_nothing_are_refused() {
        assert_eq!(Fit::of(&[(10, 1.0), (100, 2.0)]), None);
        assert_eq!(Fit::of(&[(10, 1.0), (10, 2.0), (10, 3.0)]), None);
        assert_eq!(Fit::of(&[(10, 1.0), (100, 0.0), (1_000, 2.0)]), None);
    }
}
