//! Lists that come in pages: as many items as are wanted, page by page, without holding them all.

use flintwheel_client::{Error, Page, PageRequest};

/// The server's greatest page.
const LARGEST: u32 = 1000;

/// Where a list stands.
pub struct Pages {
    /// How many items are still wanted; none means all.
    left: Option<u64>,
    token: Option<String>,
}

impl Pages {
    /// At most so many items in all; 0 means all of them.
    pub fn new(limit: u64) -> Self {
        Self { left: Some(limit).filter(|limit| *limit > 0), token: Some(String::new()) }
    }

    /// The next page, unless all that is wanted has come.
    pub async fn next<T, F>(&mut self, fetch: impl FnOnce(PageRequest) -> F) -> Result<Option<Vec<T>>, Error>
    where
        F: Future<Output = Result<Page<T>, Error>>,
    {
        let size = self.left.map_or(LARGEST, |left| u32::try_from(left).unwrap_or(LARGEST).min(LARGEST));
        if size == 0 {
            return Ok(None);
        }
        let Some(token) = self.token.take() else { return Ok(None) };
        let mut page = fetch(PageRequest { size, token }).await?;
        self.token = page.next;
        if let Some(left) = &mut self.left {
            page.items.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= page.items.len() as u64;
        }
        Ok(Some(page.items))
    }

    /// Whether the server has more than was wanted.
    pub fn has_more(&self) -> bool {
        self.token.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that has 2,500 items.
    async fn serve(request: PageRequest) -> Result<Page<u64>, Error> {
        let from: u64 = request.token.parse().unwrap_or(0);
        let to = (from + u64::from(request.size)).min(2500);
        Ok(Page { items: (from..to).collect(), next: (to < 2500).then(|| to.to_string()) })
    }

    async fn fetch(limit: u64) -> (Vec<u64>, bool) {
        let (mut pages, mut items) = (Pages::new(limit), Vec::new());
        while let Some(page) = pages.next(serve).await.expect("a page") {
            items.extend(page);
        }
        (items, pages.has_more())
    }

    #[tokio::test]
    async fn as_many_as_are_wanted_come_once_and_in_order() {
        for (limit, count, more) in
            [(0, 2500, false), (1, 1, true), (1001, 1001, true), (2500, 2500, false), (9999, 2500, false)]
        {
            assert_eq!(fetch(limit).await, ((0..count).collect(), more), "{limit}");
        }
    }
}
