//! Buffered writing to where the output goes.

use std::io::{self, Write};

use super::Buffering;

/// How much is gathered at most before it is written.
const FULL: usize = 1 << 16;

/// A file with a buffer before it. Outputs append to the buffer and then call [`Writer::commit`].
pub(super) struct Writer {
    file: Box<dyn Write>,
    pub buffer: Vec<u8>,
    buffering: Buffering,
}

impl Writer {
    pub fn new(buffering: Buffering, file: Box<dyn Write>) -> Writer {
        Writer { file, buffer: Vec::with_capacity(FULL + FULL / 4), buffering }
    }

    /// After something whole was appended.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.buffering == Buffering::None || self.buffer.len() >= FULL { self.write() } else { Ok(()) }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffering == Buffering::Full { self.commit() } else { self.write() }
    }

    /// Everything to the file.
    pub fn write(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = self.file.write_all(&self.buffer).and_then(|()| self.file.flush());
        // After an error it is not known what was written, so nothing is written twice.
        self.buffer.clear();
        result
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // For ways out that did not come by `finish`; nobody is left to tell about errors.
        let _ = self.write();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kept;
    use super::*;

    fn written(buffering: Buffering, steps: impl Fn(&mut Writer)) -> usize {
        let file = Kept::default();
        let mut writer = Writer::new(buffering, Box::new(file.clone()));
        steps(&mut writer);
        file.take().len()
    }

    fn put(writer: &mut Writer, size: usize) {
        writer.buffer.extend(std::iter::repeat_n(b'x', size));
        writer.commit().unwrap();
    }

    #[test]
    fn when_output_is_written() {
        assert_eq!(written(Buffering::None, |w| put(w, 3)), 3);
        assert_eq!(written(Buffering::Line, |w| put(w, 3)), 0);
        assert_eq!(written(Buffering::Full, |w| put(w, FULL)), FULL);
        let flush = |w: &mut Writer| {
            put(w, 3);
            w.flush().unwrap();
        };
        assert_eq!(written(Buffering::Line, flush), 3);
        assert_eq!(written(Buffering::Full, flush), 0);
        assert_eq!(written(Buffering::Full, |w| (flush(w), w.write().unwrap()).1), 3);
        let file = Kept::default();
        put(&mut Writer::new(Buffering::Full, Box::new(file.clone())), 3);
        assert_eq!(file.take().len(), 3, "dropping writes what is left");
    }

    #[test]
    fn a_reader_that_went_away_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut writer = Writer::new(Buffering::Line, Box::new(writer));
        put(&mut writer, 3);
        assert_eq!(writer.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(writer.buffer.is_empty());
    }
}
