//! Decides the cause of one failure.
