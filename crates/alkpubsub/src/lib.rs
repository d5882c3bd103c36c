//! alkpubsub
