//! A driver in a few lines: frames out, frames in, over whatever carries bytes.

use photondb_protocol::numbers::{Protocol, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The bytes of one frame.
pub fn frame(token: u64, body: &[u8]) -> Vec<u8> {
    let size = body.len() as u32;
    [&token.to_le_bytes()[..], &size.to_le_bytes(), body].concat()
}

/// What an older driver says first.
pub fn hello(version: Version) -> Vec<u8> {
    let numbers = [version.number(), 0, Protocol::Json.number()];
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A client that is logged in.
pub struct Client<S> {
    /// What carries its bytes.
    pub stream: S,
    next_token: u64,
}

impl<S> Client<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub async fn log_in(stream: S) -> Client<S> {
        Client::log_in_as(stream, Version::V0_4).await
    }

    pub async fn log_in_as(mut stream: S, version: Version) -> Client<S> {
        stream.write_all(&hello(version)).await.unwrap();
        let mut success = [0; 8];
        stream.read_exact(&mut success).await.unwrap();
        assert_eq!(&success, b"SUCCESS\0");
        Client { stream, next_token: 1 << 32 }
    }

    pub async fn send(&mut self, token: u64, body: &str) {
        self.stream.write_all(&frame(token, body.as_bytes())).await.unwrap();
    }

    pub async fn receive(&mut self) -> (u64, String) {
        self.try_receive().await.unwrap()
    }

    pub async fn try_receive(&mut self) -> std::io::Result<(u64, String)> {
        let token = self.stream.read_u64_le().await?;
        let size = self.stream.read_u32_le().await?;
        let mut body = vec![0; size as usize];
        self.stream.read_exact(&mut body).await?;
        Ok((token, String::from_utf8(body).unwrap()))
    }

    /// One query with a token of its own.
    pub async fn ask(&mut self, body: &str) -> String {
        self.next_token += 1;
        let token = self.next_token;
        self.send(token, body).await;
        let (answered, answer) = self.receive().await;
        assert_eq!(answered, token);
        answer
    }

    /// Nothing more comes, and the other end has closed.
    pub async fn is_closed(&mut self) {
        let mut rest = Vec::new();
        // A connection may be reset when the server had not read everything.
        drop(self.stream.read_to_end(&mut rest).await);
        assert_eq!(rest, b"");
    }
}
