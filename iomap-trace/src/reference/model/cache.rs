//! The page cache of one inode.

use super::cast::Task;
use crate::event::How;

/// What buffer heads are held by (fs/buffer.c `drop_buffers()`, fs/jbd2/transaction.c
/// `jbd2_journal_try_to_free_buffers()`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// A journal head is attached (`BH_JBD`).
    pub jbd: bool,
    /// References (`b_count`).
    pub busy: u32,
}

/// A folio. Pages are counted from the first page of the model's range.
#[derive(Clone, Copy, Debug)]
pub struct Folio {
    /// Its first page.
    pub page: u64,
    /// How many pages it has.
    pub pages: u64,
    /// `PG_dirty`.
    pub dirty: bool,
    /// `PG_writeback`.
    pub writeback: bool,
    /// `folio->private` is set.
    pub private: bool,
    /// `PG_checked`: journalled data waits for a commit (ext4).
    pub checked: bool,
    /// Buffer heads, where the filesystem has them.
    pub heads: Option<Heads>,
    /// `PG_locked`: nobody else may change it.
    pub locked: bool,
    /// Which write its contents are of.
    pub version: u64,
}

impl Folio {
    /// One past its last page.
    pub const fn end(&self) -> u64 {
        self.page + self.pages
    }
}

/// Who came to a page last, as the tracer's maps keep it.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// When.
    pub ns: u64,
    /// Who.
    pub task: Task,
    /// How.
    pub how: How,
}

/// The page cache, and what a tracer knows of its pages.
#[derive(Debug, Default)]
pub struct PageCache {
    folios: Vec<Folio>,
    /// Last to dirty a clean folio, by its first page (`writeback_dirty_folio`).
    pub dirtied: Vec<Option<Touch>>,
    /// Last to add a folio, by its first page (`mm_filemap_add_to_page_cache`).
    pub cached: Vec<Option<Touch>>,
}

impl PageCache {
    /// An empty cache of `pages` pages.
    pub fn new(pages: u64) -> Self {
        Self {
            folios: Vec::new(),
            dirtied: vec![None; pages as usize],
            cached: vec![None; pages as usize],
        }
    }

    /// The folio with this page.
    pub fn at(&self, page: u64) -> Option<&Folio> {
        let has = |folio: &&Folio| folio.page <= page && page < folio.end();
        self.folios.iter().find(has)
    }

    /// The folio with this page, to be changed.
    pub fn at_mut(&mut self, page: u64) -> Option<&mut Folio> {
        let has = |folio: &&mut Folio| folio.page <= page && page < folio.end();
        self.folios.iter_mut().find(has)
    }

    /// The first folio with a page in `from..end`.
    pub fn next(&self, from: u64, end: u64) -> Option<&Folio> {
        let inside = |folio: &&Folio| folio.page < end && from < folio.end();
        let folios = self.folios.iter().filter(inside);
        folios.min_by_key(|folio| folio.page)
    }

    /// The folios with a page in `from..end`.
    pub fn within(&self, from: u64, end: u64) -> impl Iterator<Item = &Folio> {
        let inside = move |folio: &&Folio| folio.page < end && from < folio.end();
        self.folios.iter().filter(inside)
    }

    /// Adds a folio where none is.
    pub fn add(&mut self, folio: Folio) {
        self.folios.push(folio);
    }

    /// Drops the folio with this page.
    pub fn remove(&mut self, page: u64) {
        self.folios
            .retain(|folio| page < folio.page || folio.end() <= page);
    }
}
