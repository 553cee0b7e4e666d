//! What is asked of any bytes, by the fuzzer and by the tests that replay its corpus: as a layer they
//! are split, cut, and put together again from the encoded recipe; as a recipe's part they are refused,
//! or mean something that can be written again.

use std::collections::HashMap;

use bytes::Bytes;
use larder_model::archive::chunk::Chunker;
use larder_model::archive::split::{Splitter, Stream};
use larder_model::archive::{Chunk, Draft, Part};
use larder_model::digest::{ChunkId, PackId};
use larder_model::frame::{ChunkFrame, ChunkSlot};

/// Fails if the bytes are not treated as they should be. The first one says in what pieces a layer of
/// the others comes.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(part) = Part::decode(bytes) {
        assert_eq!(Part::decode(&part.encode()), Ok(part));
    }
    if let Some((size, layer)) = bytes.split_first() {
        let rebuilt = rebuilt(layer, usize::from(*size) + 1);
        assert!(rebuilt == layer, "the layer is not what it was");
    }
}

fn rebuilt(layer: &[u8], piece: usize) -> Vec<u8> {
    let mut draft = Draft::default();
    let mut streams = [Vec::new(), Vec::new()];
    let mut splitter = Splitter::default();
    let mut emit = |stream: Stream, bytes: &[u8]| {
        draft.runs.push(stream, bytes.len());
        streams[stream as usize].extend_from_slice(bytes);
    };
    for piece in layer.chunks(piece) {
        splitter.feed(piece, &mut emit);
    }
    splitter.finish(&mut emit);
    let mut contents = HashMap::new();
    for stream in Stream::BOTH {
        let mut rest = Bytes::copy_from_slice(&streams[stream as usize]);
        let mut chunker = Chunker::default();
        while !rest.is_empty() {
            let content = rest.split_to(chunker.find_end(&rest).unwrap_or(rest.len()));
            let id = ChunkId::of(&content);
            draft.chunks[stream as usize].push(Chunk {
                id,
                frame: contents.len() as u32,
                offset: 0,
                bytes: content.len() as u32,
            });
            contents.insert(id, content);
        }
    }
    if layer.is_empty() {
        return Vec::new();
    }
    let frame = |number: u32| ChunkFrame {
        pack: PackId::of(&number.to_le_bytes()),
        slot: ChunkSlot {
            offset: 12,
            stored_bytes: 1,
            holds: 1 << 20,
        },
    };
    let part = Part::decode(&draft.place(frame).encode()).expect("it was encoded just now");
    let (mut order, mut weaver, mut out) = (part.order().into_iter(), part.weaver(), Vec::new());
    while let Some(stream) = weaver.weave(|bytes| out.extend_from_slice(bytes)) {
        let chunk = order.next().expect("as many chunks as are asked for");
        weaver.give(stream, contents[&chunk.id].clone());
    }
    out
}
