//! HTTP/1.1 for one page: GET and HEAD of `/metrics`, an answer for each connection, no more.

use httparse::Status;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::report::metrics::classic;

/// Somebody wants the page.
pub type Question = oneshot::Sender<String>;

/// A request may be so long, with all its headers.
const LONGEST: usize = 8 << 10;
const HEADERS: usize = 64;
/// So many connections at once; more are closed at once.
const CONNECTIONS: usize = 16;
/// A connection may take so long, from its first byte to its last.
const TIME: Duration = Duration::from_secs(10);
/// After that it is tried again to take connections, where there are no descriptors left.
const AGAIN: Duration = Duration::from_secs(1);

const TEXT: &str = "text/plain; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS_TYPE: &str = "application/openmetrics-text";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves connections, and puts each question through `ask`.
pub async fn serve(listener: TcpListener, ask: mpsc::Sender<Question>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let ask = ask.clone();
        tokio::spawn(async move {
            // Whoever is too slow, or gone, needs no answer.
            let _ = tokio::time::timeout(TIME, answer(stream, ask)).await;
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, ask: mpsc::Sender<Question>) -> io::Result<()> {
    let request = read(&mut stream).await?;
    let reply = match request {
        Request::Page { open, .. } => match page(ask).await {
            Some(page) if open => Reply::new("200 OK", OPENMETRICS, page),
            Some(page) => Reply::new("200 OK", CLASSIC, classic(&page)),
            None => Reply::error("503 Service Unavailable", "the run has ended"),
        },
        Request::Elsewhere => Reply::error("404 Not Found", "metrics are at /metrics"),
        Request::Method => Reply::error("405 Method Not Allowed", "metrics can be got only"),
        Request::TooLong => Reply::error("431 Request Header Fields Too Large", "too long"),
        Request::Bad => Reply::error("400 Bad Request", "this is not HTTP/1.1"),
    };
    let body = !matches!(request, Request::Page { head: true, .. });
    stream.write_all(reply.text(body).as_bytes()).await?;
    stream.shutdown().await
}

async fn page(ask: mpsc::Sender<Question>) -> Option<String> {
    let (question, page) = oneshot::channel();
    ask.send(question).await.ok()?;
    page.await.ok()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// The page, or its head only, as OpenMetrics or in the text format.
    Page {
        head: bool,
        open: bool,
    },
    Elsewhere,
    Method,
    TooLong,
    Bad,
}

async fn read(stream: &mut TcpStream) -> io::Result<Request> {
    let mut text = Vec::with_capacity(1024);
    loop {
        if let Some(request) = parse(&text) {
            return Ok(request);
        }
        if text.len() >= LONGEST {
            return Ok(Request::TooLong);
        }
        let room = LONGEST - text.len();
        let mut part = [0; 1024];
        let room = room.min(part.len());
        match stream.read(&mut part[..room]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => text.extend_from_slice(&part[..n]),
        }
    }
}

/// What is asked for; `None` as long as the request is not complete.
fn parse(text: &[u8]) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(text) {
        Ok(Status::Partial) => return None,
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Some(Request::TooLong),
        Err(_) => return Some(Request::Bad),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let head = match request.method {
        _ if path != "/metrics" => return Some(Request::Elsewhere),
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Some(Request::Method),
    };
    let open = request.headers.iter().any(|header| {
        let value = String::from_utf8_lossy(header.value);
        header.name.eq_ignore_ascii_case("accept")
            && value.to_ascii_lowercase().contains(OPENMETRICS_TYPE)
    });
    Some(Request::Page { head, open })
}

struct Reply {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Reply {
    fn new(status: &'static str, kind: &'static str, body: String) -> Self {
        Self { status, kind, body }
    }

    fn error(status: &'static str, what: &str) -> Self {
        Self::new(status, TEXT, format!("{what}\n"))
    }

    fn text(&self, body: bool) -> String {
        let Self {
            status,
            kind,
            body: text,
        } = self;
        let allow = match status.starts_with("405") {
            true => "Allow: GET, HEAD\r\n",
            false => "",
        };
        let length = text.len();
        let body = if body { text } else { "" };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    const ACCEPT: &str = "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";

    /// A server that answers with `page`, if there is one.
    async fn server(page: Option<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (ask, mut questions) = mpsc::channel::<Question>(1);
        tokio::spawn(serve(listener, ask));
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                if let Some(page) = page {
                    question.send(page.to_owned()).unwrap();
                }
            }
        });
        at
    }

    /// What the server says to these parts of a request.
    async fn said(at: SocketAddr, parts: &[&str]) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        for part in parts {
            // It may have said no, and closed, before all was sent.
            let _ = stream.write_all(part.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        String::from_utf8(said).unwrap()
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn the_page_is_got() {
        run(async {
            let at = server(Some("up 1\n# EOF\n")).await;
            let got = said(
                at,
                &[
                    "GET /metr",
                    "ics?x=1 HTTP/1.1\r\nHost: x\r\n",
                    ACCEPT,
                    "\r\n",
                ],
            )
            .await;
            let (head, body) = got.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains("Content-Length: 11"), "{head}");
            assert!(head.contains(OPENMETRICS), "{head}");
            assert_eq!(body, "up 1\n# EOF\n");
            let got = said(at, &["GET /metrics HTTP/1.1\r\n\r\n"]).await;
            let (head, body) = got.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(CLASSIC), "{head}");
            assert_eq!(body, "up 1\n");
            let got = said(at, &["HEAD /metrics HTTP/1.1\r\n\r\n"]).await;
            assert!(got.contains("Content-Length: 5") && got.ends_with("\r\n\r\n"));
        });
    }

    #[test]
    fn whatever_else_is_refused() {
        run(async {
            let at = server(Some("x")).await;
            for (request, status) in [
                ("GET / HTTP/1.1\r\n\r\n".to_owned(), "404"),
                ("POST /metrics HTTP/1.1\r\n\r\n".to_owned(), "405"),
                ("\x16\x03\x01\x02 \x01\r\n\r\n".to_owned(), "400"),
                (
                    format!("GET /metrics HTTP/1.1\r\nX: {}", "a".repeat(9000)),
                    "431",
                ),
                (
                    format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(65)),
                    "431",
                ),
            ] {
                let got = said(at, &[&request]).await;
                assert!(
                    got.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{request:.40}: {got}"
                );
            }
        });
    }

    #[test]
    fn a_run_that_ended_says_so() {
        run(async {
            let at = server(None).await;
            let got = said(at, &["GET /metrics HTTP/1.1\r\n\r\n"]).await;
            assert!(got.starts_with("HTTP/1.1 503 "), "{got}");
        });
    }

    #[test]
    fn idle_connections_take_no_place_from_the_tracer() {
        run(async {
            let at = server(Some("x")).await;
            let mut idle = Vec::new();
            for _ in 0..CONNECTIONS {
                idle.push(TcpStream::connect(at).await.unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(said(at, &["GET /metrics HTTP/1.1\r\n\r\n"]).await, "");
            drop(idle);
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(
                said(at, &["GET /metrics HTTP/1.1\r\n\r\n"])
                    .await
                    .contains("200 OK")
            );
        });
    }
}
