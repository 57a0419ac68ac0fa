//! A bug report.

use super::dossier::Dossier;

/// The report.
pub fn markdown(_dossier: &Dossier<'_>) -> String {
    String::new()
}
