//! A headless Chromium that opens a report and uses it.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
/// A report is there within a second; the rest is for slow machines.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the reader prefers.
#[derive(Clone, Copy, Debug)]
pub enum Theme {
    Light,
    Dark,
}

impl Theme {
    const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// `mojom::PreferredColorScheme` of Blink: dark is 0.
    const fn option(self) -> &'static str {
        match self {
            Self::Light => "--blink-settings=preferredColorScheme=1",
            Self::Dark => "--blink-settings=preferredColorScheme=0",
        }
    }
}

/// A program that is there.
pub struct Browser(PathBuf);

impl Browser {
    /// Finds one. Without one a test has nothing to do, and says so; in continuous integration, where
    /// nobody would read that, it fails.
    pub fn find() -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut candidates =
            env::split_paths(&path).flat_map(|directory| NAMES.map(|name| directory.join(name)));
        let found = candidates.find(|file| file.is_file()).map(Self);
        if found.is_none() {
            let ci = env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!ci, "there is no chromium: run `cargo xtask setup` first");
            // Not `eprintln!`, which the test's harness keeps to itself.
            let skipped = "skipped: there is no chromium; `cargo xtask setup` installs it\n";
            let _ = std::io::stderr().write_all(skipped.as_bytes());
        }
        found
    }

    /// Uses the report as tests/html/driver.js does. Everything it looks at has to be right, `seen`
    /// has to be there as text, and the console silent.
    pub fn checks(&self, page: &str, seen: &[&str]) {
        self.checks_in(Theme::Light, page, seen);
    }

    /// The same for a reader who prefers this theme. What the driver measured.
    pub fn checks_in(&self, theme: Theme, page: &str, seen: &[&str]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("report.html"), page).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/html");
        for name in ["driver.html", "driver.js"] {
            fs::copy(source.join(name), directory.path().join(name)).unwrap();
        }
        let seen = serde_json::to_string(seen).unwrap();
        let hash: String = seen.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let options = ["--virtual-time-budget=60000", "--dump-dom", theme.option()];
        let dom = self.open(directory.path(), &format!("driver.html#{hash}"), &options);
        let results = dom.split_once("<pre id=\"results\">").unwrap().1;
        let results = results.split_once("</pre>").unwrap().0;
        assert!(
            results.ends_with("done") && !results.contains("FAILED"),
            "{results}"
        );
        assert!(
            results.matches("ok ").count() >= 41 + usize::from(seen.len() > 2),
            "{results}"
        );
        let shown = format!("theme {}", theme.name());
        assert!(results.lines().any(|line| line == shown), "{results}");
        let times = results
            .lines()
            .filter_map(|line| line.strip_prefix("time "));
        times.map(str::to_owned).collect()
    }

    /// The page as it is printed: a PDF.
    pub fn prints(&self, page: &str) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("report.html"), page).unwrap();
        let pdf = directory.path().join("report.pdf");
        let print = format!("--print-to-pdf={}", pdf.display());
        let options = [&print, "--no-pdf-header-footer", Theme::Dark.option()];
        self.open(directory.path(), "report.html", &options);
        fs::read(pdf).unwrap()
    }

    /// The page as it is when it has been opened, with a silent console.
    pub fn opens(&self, page: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("report.html"), page).unwrap();
        let options = ["--virtual-time-budget=60000", "--dump-dom"];
        self.open(directory.path(), "report.html", &options)
    }

    /// What chromium prints. Timers run at once with `--virtual-time-budget`, and the page is printed
    /// when they have.
    fn open(&self, directory: &Path, page: &str, options: &[&str]) -> String {
        let (dom, log) = (directory.join("dom"), directory.join("log"));
        let mut child = Command::new(&self.0)
            .args([
                "--headless=new",
                // There is none in containers and for root; the page is our own.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                // The driver looks into the report beside it.
                "--allow-file-access-from-files",
                "--enable-logging=stderr",
                "--window-size=1400,1200",
                "--disable-component-update",
                "--disable-sync",
                "--disable-quic",
            ])
            .args(options)
            .arg(format!(
                "--user-data-dir={}",
                directory.join("profile").display()
            ))
            .arg(format!("file://{}/{page}", directory.display()))
            .env("HOME", directory)
            .stdin(Stdio::null())
            .stdout(File::create(&dom).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                panic!("chromium did not end: {}", lossy(&log));
            }
            sleep(Duration::from_millis(50));
        };
        let said = lossy(&log);
        assert!(status.success(), "chromium: {status}\n{said}");
        let console: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("CONSOLE"))
            .collect();
        assert!(console.is_empty(), "the console says: {console:#?}");
        lossy(&dom)
    }
}

fn lossy(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()
}
