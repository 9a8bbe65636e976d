//! One client: bytes in, a response out, and again if the client wants to go on.

use crate::request::{self, Parsed};
use crate::response::{self, Response};
use std::fs::File;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;
use wasmedge_wasi_socket::TcpStream;

/// The head of a request may have so many bytes.
const HEAD_MAX: usize = 8 << 10;

/// How much of a file is read at once.
const CHUNK: usize = 64 << 10;

pub struct Connection {
    pub stream: TcpStream,
    /// When bytes last moved.
    pub active: SystemTime,
    peer: SocketAddr,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How many bytes of `output` are sent.
    sent: usize,
    /// What follows `output`, and how many bytes of it.
    file: Option<(File, u64)>,
    close: bool,
}

pub enum Wants {
    Read,
    Write,
}

impl Connection {
    pub fn new(stream: TcpStream, peer: SocketAddr) -> Connection {
        let (input, output) = (Vec::new(), Vec::new());
        Connection {
            stream,
            peer,
            active: SystemTime::now(),
            input,
            output,
            sent: 0,
            file: None,
            close: false,
        }
    }

    pub fn wants(&self) -> Wants {
        if self.answering() { Wants::Write } else { Wants::Read }
    }

    fn answering(&self) -> bool {
        self.sent < self.output.len() || self.file.is_some()
    }

    /// Reads and writes as far as it goes without waiting; whether the connection stays open.
    pub fn advance(&mut self, folder: &Path) -> Result<bool> {
        self.active = SystemTime::now();
        if !self.answering() && !self.receive()? {
            return Ok(false);
        }
        loop {
            if self.answering() {
                if !self.send()? {
                    return Ok(true);
                }
                if self.close {
                    return Ok(false);
                }
            } else if !self.answer(folder)? {
                return Ok(true);
            }
        }
    }

    /// Whether the client still sends; stops at the size of a head, so that a client cannot fill the memory.
    fn receive(&mut self) -> Result<bool> {
        let mut buffer = [0; 4096];
        while self.input.len() <= HEAD_MAX {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Prepares the answer to the next request; `false` if none is complete yet.
    fn answer(&mut self, folder: &Path) -> Result<bool> {
        let (line, response) = match request::parse(&self.input) {
            Parsed::Partial if self.input.len() <= HEAD_MAX => return Ok(false),
            Parsed::Partial => ("-".to_owned(), Response::error(431, "the request's head is too large")),
            Parsed::Wrong => ("-".to_owned(), Response::error(400, "this is no HTTP request")),
            Parsed::Complete(request) => {
                self.input.drain(..request.length);
                self.close = !request.keep_alive;
                (request.line(), response::answer(folder, &request))
            }
        };
        self.close |= response.close;
        println!("{} \"{line}\" {} {}", self.peer, response.status, response.length);
        self.output = response.head(self.close);
        self.output.extend_from_slice(&response.body);
        self.file = response.file;
        self.sent = 0;
        // In one packet with the head: the system holds a second one back until the first is acknowledged.
        self.fill()?;
        Ok(true)
    }

    /// Whether the whole answer is sent.
    fn send(&mut self) -> Result<bool> {
        loop {
            while self.sent < self.output.len() {
                match self.stream.write(&self.output[self.sent..]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(count) => self.sent += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.output.clear();
            self.sent = 0;
            self.fill()?;
            if self.output.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Reads the next piece of the file behind what is to be sent, if there is one.
    fn fill(&mut self) -> Result<()> {
        let Some((file, rest)) = &mut self.file else { return Ok(()) };
        let wanted = (*rest).min(CHUNK as u64);
        let count = file.take(wanted).read_to_end(&mut self.output)? as u64;
        if count < wanted {
            // The file became shorter; the promised length cannot be kept.
            return Err(ErrorKind::UnexpectedEof.into());
        }
        *rest -= count;
        if *rest == 0 {
            self.file = None;
        }
        Ok(())
    }
}
