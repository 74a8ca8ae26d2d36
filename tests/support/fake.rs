//! A server that speaks just enough of the protocol to misbehave on purpose
//! (MySQL internals, "Client/Server Protocol"). Where a real server serves, the
//! tests use that.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

/// Listens on a port of its own and plays `script` to each connection.
pub fn serve(script: impl Fn(Session) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        let script = std::sync::Arc::new(script);
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).expect("a TCP option");
            let script = std::sync::Arc::clone(&script);
            thread::spawn(move || {
                script(Session {
                    stream,
                    sequence: 0,
                    connection_id: 7,
                })
            });
        }
    });
    port
}

/// The URL of a fake server.
pub fn url(port: u16) -> String {
    format!("mysql://me:secret@127.0.0.1:{port}/db")
}

/// The server's side of one connection.
pub struct Session {
    pub stream: TcpStream,
    /// The id that the greeting gives the connection.
    pub connection_id: u32,
    sequence: u8,
}

impl Session {
    /// Sends one packet; a client that has gone is not an error here.
    pub fn send(&mut self, payload: &[u8]) {
        let length = u32::try_from(payload.len())
            .expect("a small packet")
            .to_le_bytes();
        let header = [length[0], length[1], length[2], self.sequence];
        self.sequence = self.sequence.wrapping_add(1);
        let _ = self.stream.write_all(&[&header[..], payload].concat());
    }

    /// The client's next packet; `None` when it has gone.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).ok()?;
        let mut payload =
            vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        self.sequence = header[3].wrapping_add(1);
        Some(payload)
    }

    /// Greets and accepts whoever comes; gives the client's answer.
    pub fn accept(&mut self) -> Option<Vec<u8>> {
        let mut greeting = b"\x0a8.0.99-fake\0".to_vec();
        greeting.extend_from_slice(&self.connection_id.to_le_bytes());
        greeting.extend_from_slice(b"abcdefgh\0");
        // Protocol 4.1, secure connection, connect with database, plugins and
        // attributes; utf8mb4; autocommit.
        greeting.extend_from_slice(b"\x09\x82\x2d\x02\0\x18\0\x15");
        greeting.extend_from_slice(b"\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0");
        self.send(&greeting);
        let answer = self.receive()?;
        self.ok();
        Some(answer)
    }

    /// Lets the client talk to the real server on `port` from here on.
    pub fn forward(self, port: u16) {
        let server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
        relay(self.stream, server, |_| {});
    }

    pub fn ok(&mut self) {
        self.send(b"\0\0\0\x02\0\0\0");
    }

    /// Accepts, refuses to prepare as some proxies do, and answers every
    /// statement with OK until one begins with SELECT; that is the caller's to
    /// answer.
    pub fn until_select(&mut self) -> Option<()> {
        self.accept()?;
        loop {
            match &*self.receive()?.to_ascii_uppercase() {
                [b'\x03', b'S', b'E', b'L', ..] => return Some(()),
                [b'\x16', ..] => self.send(b"\xff\x17\x04#08S01unknown command"),
                _ => self.ok(),
            }
        }
    }

    /// The beginning of a result set whose columns are all text.
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

    /// A row of short texts.
    pub fn row(&mut self, values: &[&str]) {
        let mut row = Vec::new();
        for value in values {
            row.push(u8::try_from(value.len()).expect("a short value"));
            row.extend_from_slice(value.as_bytes());
        }
        self.send(&row);
    }

    /// Answers the first SELECT with a whole result set, and waits for goodbye.
    pub fn answer(mut self, names: &[&str], rows: &[&[&[u8]]]) {
        if self.until_select().is_none() {
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

    /// EOF: the end of the columns, or of the rows.
    pub fn end(&mut self) {
        self.send(b"\xfe\0\0\x02\0");
    }
}

/// Carries bytes both ways until one side ends; `seen` is told how many the
/// server sent.
pub fn relay(client: TcpStream, server: TcpStream, seen: impl Fn(usize) + Send + 'static) {
    let (mut from_client, mut to_server) = (
        client.try_clone().expect("a socket"),
        server.try_clone().expect("a socket"),
    );
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let (mut from_server, mut to_client) = (server, client);
    let mut buffer = [0; 65536];
    while let Ok(length @ 1..) = from_server.read(&mut buffer) {
        seen(length);
        if to_client.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to_client.shutdown(Shutdown::Both);
}
