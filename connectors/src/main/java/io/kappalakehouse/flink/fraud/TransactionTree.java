package io.kappalakehouse.flink.fraud;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/**
 * A user's held transactions in the rule's order, where whatever is asked or changed costs a few pages, however many there
 * are: a B+ tree whose pages know how many transactions lie below them.
 *
 * <p>For one transaction at a time: pages that were read are kept, and {@link #write} stores those that changed. The root
 * lies in the {@link HeldTransactions}, which its user stores.
 *
 * <p>Transactions are taken out at the front only, a few pages at a time ({@link #dropUntil}); until then whoever asks
 * leaves them out.
 */
final class TransactionTree {

  /** Where the pages below the root lie. */
  interface Pages {

    Page get(long key) throws Exception;

    void put(long key, Page page) throws Exception;

    void remove(long key) throws Exception;
  }

  /** Entries of a page: few enough to be read and written at once, enough for 200,000 transactions in three levels. */
  static final int CAPACITY = 64;

  private final HeldTransactions held;
  private final Pages pages;
  private final int capacity;

  private final Map<Long, Page> read = new HashMap<>();
  private final Set<Long> changed = new HashSet<>();
  private long before;
  private int dropped;

  TransactionTree(HeldTransactions held, Pages pages) {
    this(held, pages, CAPACITY);
  }

  TransactionTree(HeldTransactions held, Pages pages, int capacity) {
    this.held = held;
    this.pages = pages;
    this.capacity = capacity;
  }

  /** Takes a transaction; returns how many precede it. One that is there already precedes its copy. */
  long insert(long time, String id) throws Exception {
    before = 0;
    Page split = insert(held.root, held.height, time, id);
    if (split != null) {
      Page above = new Page();
      above.insert(0, held.root, add(held.root));
      above.insert(1, split, add(split));
      held.root = above;
      held.height++;
    }
    return before;
  }

  /** Returns what had to be split off from the page, to come after it; null if nothing. */
  private Page insert(Page page, int height, long time, String id) throws Exception {
    int at = page.until(time, id);
    if (height == 0) {
      before += at;
      page.insert(at, time, id);
    } else {
      int child = Math.max(0, at - 1);
      before += page.totalBefore(child);
      Page below = page(page.children[child]);
      Page split = insert(below, height - 1, time, id);
      changed.add(page.children[child]);
      page.counts[child]++;
      if (split != null) {
        page.counts[child] -= split.total();
        page.insert(child + 1, split, add(split));
      }
      at = child + 1;
    }
    if (page.size() <= capacity) {
      return null;
    }
    // Mostly transactions come in order. What they leave behind stays full.
    boolean isLast = at == page.size() - 1;
    return page.splitOff(isLast ? at : page.size() / 2);
  }

  /** How many are at or before a time. */
  long countUntil(long time) throws Exception {
    long count = 0;
    Page page = held.root;
    for (int height = held.height; height > 0; height--) {
      int child = Math.max(0, page.until(time) - 1);
      count += page.totalBefore(child);
      page = page(page.children[child]);
    }
    return count + page.until(time);
  }

  /** The time of the one that so many precede. */
  long timeAt(long index) throws Exception {
    Page page = held.root;
    for (int height = held.height; height > 0; height--) {
      int child = 0;
      while (index >= page.counts[child]) {
        index -= page.counts[child++];
      }
      page = page(page.children[child]);
    }
    return page.times[(int) index];
  }

  /** Takes out what is at or before a time, as far as it fills leaves, and up to {@code most} of these. */
  void dropUntil(long time, int most) throws Exception {
    for (int i = 0; i < most && held.height > 0 && dropLeaf(held.root, held.height, time); i++) {
      while (held.height > 0 && held.root.size() == 1) {
        long only = held.root.children[0];
        held.root = page(only);
        held.height--;
        remove(only);
      }
    }
    if (held.height == 0) {
      held.root.dropFirst(held.root.until(time));
    }
  }

  /** Takes out the first leaf below a page, if all of it is at or before a time; whether it was. */
  private boolean dropLeaf(Page page, int height, long time) throws Exception {
    long key = page.children[0];
    Page first = page(key);
    if (height == 1) {
      dropped = first.size();
      if (first.times[dropped - 1] > time) {
        return false;
      }
    } else if (!dropLeaf(first, height - 1, time)) {
      return false;
    }
    if (height == 1 || first.size() == 0) {
      page.dropFirst(1);
      remove(key);
    } else {
      page.counts[0] -= dropped;
      changed.add(key);
    }
    return true;
  }

  /** Stores the pages that changed. */
  void write() throws Exception {
    for (long key : changed) {
      pages.put(key, read.get(key));
    }
    changed.clear();
  }

  private Page page(long key) throws Exception {
    Page page = read.get(key);
    if (page == null) {
      page = pages.get(key);
      read.put(key, page);
    }
    return page;
  }

  private long add(Page page) {
    long key = held.nextPage++;
    read.put(key, page);
    changed.add(key);
    return key;
  }

  private void remove(long key) throws Exception {
    read.remove(key);
    changed.remove(key);
    pages.remove(key);
  }
}
