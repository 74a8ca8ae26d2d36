//! A server that speaks just enough of the protocol to misbehave on purpose
//! (MySQL internals, "Client/Server Protocol"). The tests use a real server
//! wherever one can do the job.

use std::{
    io::{Read, Write},
    iter,
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsFd,
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{setsockopt, sockopt},
};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Listens on a free port, runs `script` for each connection and returns the port.
pub fn serve(script: impl Fn(Session) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        let script = Arc::new(script);
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).expect("a TCP option");
            let script = Arc::clone(&script);
            thread::spawn(move || {
                script(Session {
                    stream,
                    version: "8.0.99-fake",
                    sequence: 0,
                    connection_id: 7,
                })
            });
        }
    });
    port
}

/// Makes a TLS configuration with the certificate `server.pem` in `folder`.
pub fn tls_config(folder: &Path) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("server-key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.map(|one| one.expect("a certificate")).collect(), key);
    Arc::new(config.expect("they belong together"))
}

/// The URL of a fake server.
pub fn url(port: u16) -> String {
    format!("mysql://me:secret@127.0.0.1:{port}/db")
}

/// The server's side of one connection.
pub struct Session<S = TcpStream> {
    pub stream: S,
    /// The server version in the greeting.
    pub version: &'static str,
    /// The connection id in the greeting.
    pub connection_id: u32,
    sequence: u8,
}

impl<S: Read + Write> Session<S> {
    /// Sends one packet. A client that has closed the connection is no error here.
    pub fn send(&mut self, payload: &[u8]) {
        let length = u32::try_from(payload.len())
            .expect("a small packet")
            .to_le_bytes();
        let header = [length[0], length[1], length[2], self.sequence];
        self.sequence = self.sequence.wrapping_add(1);
        let _ = self.stream.write_all(&[&header[..], payload].concat());
    }

    /// Sends bytes that need not be a packet; `None` if the client has closed the
    /// connection.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).ok()
    }

    /// Returns the client's next packet; `None` if it has closed the connection.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).ok()?;
        let mut payload =
            vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        self.sequence = header[3].wrapping_add(1);
        Some(payload)
    }

    pub fn ok(&mut self) {
        self.send(b"\0\0\0\x02\0\0\0");
    }
}

impl Session {
    /// Greets, accepts any login and returns the client's login packet.
    pub fn accept(&mut self) -> Option<Vec<u8>> {
        self.greet(0x82);
        let answer = self.receive()?;
        self.ok();
        Some(answer)
    }

    /// Greets as a server that offers TLS.
    pub fn greet_with_tls(&mut self) {
        self.greet(0x8a);
    }

    pub fn greet_without_tls(&mut self) {
        self.greet(0x82);
    }

    pub fn greet_with_compression(&mut self) {
        self.greet_as([0x29, 0x82]);
    }

    /// Continues over TLS, after the client has requested it.
    pub fn encrypted(
        self,
        config: &Arc<ServerConfig>,
    ) -> Session<StreamOwned<ServerConnection, TcpStream>> {
        let tls = ServerConnection::new(Arc::clone(config)).expect("a TLS session");
        Session {
            stream: StreamOwned::new(tls, self.stream),
            version: self.version,
            connection_id: self.connection_id,
            sequence: self.sequence,
        }
    }

    fn greet(&mut self, capabilities: u8) {
        self.greet_as([0x09, capabilities]);
    }

    fn greet_as(&mut self, capabilities: [u8; 2]) {
        let mut greeting = [b"\x0a", self.version.as_bytes(), b"\0"].concat();
        greeting.extend_from_slice(&self.connection_id.to_le_bytes());
        greeting.extend_from_slice(b"abcdefgh\0");
        // Protocol 4.1, secure connection, connect with database, plugins and
        // attributes; utf8mb4; autocommit.
        greeting.extend_from_slice(&capabilities);
        greeting.extend_from_slice(b"\x2d\x02\0\x18\0\x15");
        greeting.extend_from_slice(b"\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0");
        self.send(&greeting);
    }

    /// Connects the client to the real server on `port`.
    pub fn forward(self, port: u16) {
        let server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
        relay(self.stream, server, |_, _| {});
    }

    /// Accepts the login, refuses to prepare statements as some proxies do, and
    /// answers every statement with OK until one begins with SELECT and does not take
    /// the session's lock. The caller answers that one.
    pub fn wait_for_select(&mut self) -> Option<()> {
        self.accept()?;
        loop {
            match &*self.receive()?.to_ascii_uppercase() {
                [b'\x03', sql @ ..] if sql.starts_with(b"SELECT GET_LOCK") => self.ok(),
                [b'\x03', b'S', b'E', b'L', ..] => return Some(()),
                [b'\x16', ..] => self.send(b"\xff\x17\x04#08S01unknown command"),
                _ => self.ok(),
            }
        }
    }

    /// Sends the column definitions of a result set whose columns are all text.
    pub fn columns(&mut self, names: &[&str]) {
        self.send(&[u8::try_from(names.len()).expect("few columns")]);
        for name in names {
            let mut column = b"\x03def\0\0\0".to_vec();
            column.push(u8::try_from(name.len()).expect("a short name"));
            column.extend_from_slice(name.as_bytes());
            column.extend_from_slice(b"\0\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0");
            self.send(&column);
        }
        self.end();
    }

    /// Sends a row of short texts.
    pub fn row(&mut self, values: &[&str]) {
        let mut row = Vec::new();
        for value in values {
            row.push(u8::try_from(value.len()).expect("a short value"));
            row.extend_from_slice(value.as_bytes());
        }
        self.send(&row);
    }

    /// Answers the first SELECT with a complete result set and waits for the
    /// client's last packet.
    pub fn answer(mut self, names: &[&str], rows: &[&[&[u8]]]) {
        if self.wait_for_select().is_none() {
            return;
        }
        self.columns(names);
        for row in rows {
            let cells = row
                .iter()
                .map(|cell| [&[u8::try_from(cell.len()).expect("a short value")], *cell].concat());
            self.send(&cells.collect::<Vec<_>>().concat());
        }
        self.end();
        self.receive();
    }

    /// Sends EOF: the end of the columns or of the rows.
    pub fn end(&mut self) {
        self.send(b"\xfe\0\0\x02\0");
    }
}

/// Forwards bytes both ways until one side ends. `inspect` gets all bytes of both
/// sides and may change them.
pub fn relay(
    client: TcpStream,
    server: TcpStream,
    inspect: impl Fn(Side, &mut Vec<u8>) + Send + Clone + 'static,
) {
    let [to_server, to_client] = [&server, &client].map(|one| one.try_clone().expect("a socket"));
    let inspect_client = inspect.clone();
    thread::spawn(move || {
        forward(client, to_server, |bytes| {
            inspect_client(Side::Client, bytes)
        })
    });
    forward(server, to_client, |bytes| inspect(Side::Server, bytes));
}

/// The sender of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

fn forward(mut from: TcpStream, mut to: TcpStream, inspect: impl Fn(&mut Vec<u8>)) {
    let mut buffer = [0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let mut bytes = buffer[..length].to_vec();
        inspect(&mut bytes);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Starts a proxy in front of the server on `port` and returns the proxy's port.
/// `inspect` gets all bytes and may change them.
pub fn proxy(
    port: u16,
    inspect: impl Fn(Side, &mut Vec<u8>) + Send + Sync + Clone + 'static,
) -> u16 {
    serve(move |session| {
        let server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
        relay(session.stream, server, inspect.clone());
    })
}

/// Starts a proxy in front of the server on `port`. Returns its port and the commands
/// that clients send after their logins and that have an answer: the text of a query or
/// of a statement to prepare, and `EXECUTE`.
pub fn recording_proxy(port: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let commands: Arc<Mutex<Vec<String>>> = Arc::default();
    let recorded = Arc::clone(&commands);
    let port = proxy(port, move |side, bytes| {
        // A command begins a new sequence of packets.
        let begins = |packet: &&[u8]| side == Side::Client && packet[3] == 0;
        for packet in packets(bytes).filter(begins) {
            let command = match packet.get(4) {
                Some(0x17) => "EXECUTE".into(),
                // The connection or a statement is closed.
                Some(0x01 | 0x19) | None => continue,
                Some(_) => String::from_utf8_lossy(&packet[5..]).into_owned(),
            };
            recorded.lock().expect("a lock").push(command);
        }
    });
    (port, commands)
}

/// Where and how a [`CuttingProxy`] cuts the server's answer to the query.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The number of bytes of the answer that reach the client.
    pub after: usize,
    pub by: End,
}

/// How a TCP connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Rst,
}

/// A proxy in front of a server that cuts connections in the middle of an answer.
#[derive(Clone)]
pub struct CuttingProxy {
    pub port: u16,
    cut: Arc<Mutex<Option<Cut>>>,
    answered: Arc<Mutex<Vec<u8>>>,
}

impl CuttingProxy {
    /// Makes a proxy that can cut the answers of the server on `port` to queries
    /// that contain `tag`.
    pub fn new(port: u16, tag: &str) -> Self {
        let cut: Arc<Mutex<Option<Cut>>> = Arc::default();
        let answered: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (tag, to_cut, record) = (tag.to_owned(), Arc::clone(&cut), Arc::clone(&answered));
        let port = serve(move |session| {
            let server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
            relay_until_cut(session.stream, server, &tag, &to_cut, &record);
        });
        Self {
            port,
            cut,
            answered,
        }
    }

    /// Cuts all later answers; with `None`, cuts no more.
    pub fn cut(&self, cut: Option<Cut>) {
        *self.cut.lock().expect("a lock") = cut;
    }

    /// Returns the bytes of the last answer that reached the client.
    pub fn answered(&self) -> Vec<u8> {
        self.answered.lock().expect("a lock").clone()
    }
}

/// Forwards bytes both ways. The answer that may be cut begins when the client
/// sends a query that contains `tag`, or executes a prepared statement.
fn relay_until_cut(
    mut client: TcpStream,
    mut server: TcpStream,
    tag: &str,
    cut: &Mutex<Option<Cut>>,
    answered: &Mutex<Vec<u8>>,
) {
    let mut buffer = [0; 65536];
    let mut is_answer = false;
    loop {
        let readable = {
            let both = [client.as_fd(), server.as_fd()];
            let mut both = both.map(|socket| PollFd::new(socket, PollFlags::POLLIN));
            let polled = poll(&mut both, PollTimeout::NONE);
            polled.expect("two sockets");
            both.map(|socket| socket.any().unwrap_or(false))
        };
        if readable[0] {
            let Ok(length @ 1..) = client.read(&mut buffer) else {
                return;
            };
            let bytes = &buffer[..length];
            if packets(bytes).any(|packet| runs_query(packet, tag)) {
                is_answer = true;
                answered.lock().expect("a lock").clear();
            }
            if server.write_all(bytes).is_err() {
                return;
            }
        }
        if readable[1] {
            let Ok(length @ 1..) = server.read(&mut buffer) else {
                return;
            };
            let mut bytes = &buffer[..length];
            if is_answer {
                let mut answered = answered.lock().expect("a lock");
                let cut = *cut.lock().expect("a lock");
                let end = cut.filter(|cut| answered.len() + length >= cut.after);
                if let Some(end) = end {
                    bytes = &bytes[..end.after - answered.len()];
                }
                answered.extend_from_slice(bytes);
                if let Some(end) = end {
                    let _ = client.write_all(bytes);
                    return close(&mut client, end.by);
                }
            }
            if client.write_all(bytes).is_err() {
                return;
            }
        }
    }
}

/// Returns the packets of the client in `bytes`, each with its header. The closing of
/// a statement has no answer, so that the next command can follow at once.
fn packets(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        let &[a, b, c, _] = bytes.first_chunk()?;
        let end = 4 + u32::from_le_bytes([a, b, c, 0]) as usize;
        let (packet, rest) = bytes.split_at(end.min(bytes.len()));
        bytes = rest;
        Some(packet)
    })
}

/// Whether the packet is a query that contains `tag`, or executes a statement.
fn runs_query(packet: &[u8], tag: &str) -> bool {
    match packet.get(4) {
        Some(0x03) => packet
            .windows(tag.len())
            .any(|window| window == tag.as_bytes()),
        Some(0x17) => true,
        _ => false,
    }
}

fn close(client: &mut TcpStream, by: End) {
    match by {
        End::Fin => {
            let _ = client.shutdown(Shutdown::Write);
            // Unread bytes of the client would turn the FIN into a reset.
            while let Ok(1..) = client.read(&mut [0; 1024]) {}
        }
        End::Rst => {
            // With this option, closing the socket sends a reset (socket(7),
            // SO_LINGER).
            let at_once = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            setsockopt(client, sockopt::Linger, &at_once).expect("a socket option");
        }
    }
}
