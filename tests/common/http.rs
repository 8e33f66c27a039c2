//! HTTP over plain sockets: requests byte by byte, and services that answer them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::connect;
use crate::common::services::serve;

/// A request as a service saw it; its body was not read yet.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method, target and version.
    pub(crate) line: String,
    /// Names in small letters, and values, in their order.
    pub(crate) fields: Vec<(String, String)>,
}

impl Request {
    /// Reads a head; `None` at the end of the connection.
    pub(crate) fn read(input: &mut impl BufRead) -> io::Result<Option<Request>> {
        let Some((line, fields)) = read_head(input)? else { return Ok(None) };
        Ok(Some(Request { line, fields }))
    }

    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a field, if it is there once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// Copies the body, chunked or not.
    pub(crate) fn read_body(&self, input: &mut impl BufRead, output: &mut impl Write) -> io::Result<u64> {
        copy_body(&self.fields, input, output)
    }
}

/// An answer, all of which came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads an answer that says how long it is.
    pub(crate) fn read(input: &mut impl BufRead) -> io::Result<Answer> {
        let (line, fields) = read_head(input)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no answer: {line:?}")))?;
        let mut body = Vec::new();
        copy_body(&fields, input, &mut body)?;
        Ok(Answer { status, fields, body })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }
}

/// A connection for requests one after the other.
pub(crate) struct Connection {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Connection {
        Connection { stream: BufReader::new(connect(address)) }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, request: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(request.as_ref()).unwrap();
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        Answer::read(&mut self.stream).unwrap()
    }
}

/// Sends bytes over a connection of their own and reads the first answer.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut connection = Connection::to(address);
    connection.send(request);
    connection.answer()
}

/// A request without a body and with further fields, each of which ends in CR LF.
pub(crate) fn get(host: &str, path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

/// A service that reads each request, its body included, and answers with what `answer` makes of it.
pub(crate) fn service(answer: impl Fn(&Request, &[u8]) -> Vec<u8> + Clone + Send + 'static) -> SocketAddr {
    serve(move |mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut input)? {
            let mut body = Vec::new();
            request.read_body(&mut input, &mut body)?;
            stream.write_all(&answer(&request, &body))?;
        }
        Ok(())
    })
}

/// A whole answer with that body.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The first line of a head, and its fields with their names in small letters.
type Head = (String, Vec<(String, String)>);

fn read_head(input: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return if lines.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let first = lines.next().unwrap_or_default();
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    Ok(Some((first, fields.collect())))
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = fields.iter().filter(|(found, _)| found == name);
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value)
}

fn copy_body(fields: &[(String, String)], input: &mut impl BufRead, output: &mut impl Write) -> io::Result<u64> {
    if field(fields, "transfer-encoding") != Some("chunked") {
        let len = field(fields, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        return copy_exactly(input, output, len);
    }
    let mut total = 0;
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let len = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        total += copy_exactly(input, output, len)?;
        copy_exactly(input, &mut io::sink(), 2)?;
        if len == 0 {
            return Ok(total);
        }
    }
}

fn copy_exactly(input: &mut impl BufRead, output: &mut impl Write, len: u64) -> io::Result<u64> {
    let copied = io::copy(&mut input.take(len), output)?;
    if copied == len { Ok(len) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
