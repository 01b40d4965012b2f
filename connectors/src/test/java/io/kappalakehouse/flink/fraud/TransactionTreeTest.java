package io.kappalakehouse.flink.fraud;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.flink.api.common.serialization.SerializerConfigImpl;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Against a plain list of the same transactions. Small pages make deep trees; one of 64 is what runs. */
class TransactionTreeTest {

  private static final long HOUR = 3_600_000;

  private final HeldTransactions held = new HeldTransactions();
  private final StoredPages pages = new StoredPages();
  private final long seed = System.nanoTime();
  private final Random random = new Random(seed);

  @ParameterizedTest
  @ValueSource(ints = {3, 4, 7, TransactionTree.CAPACITY})
  void whatItHoldsIsWhatAListHolds(int capacity) throws Exception {
    List<Entry> list = new ArrayList<>();
    long newest = 0;
    long until = Long.MIN_VALUE;
    for (int i = 0; i < 3_000; i++) {
      // Mostly onwards, often at once with others, sometimes far behind; now and then all are left behind.
      newest += random.nextInt(3) == 0 ? random.nextInt(2_000) : 0;
      newest += random.nextInt(1_000) == 0 ? 2 * HOUR : 0;
      long back = random.nextInt(4) == 0 ? random.nextLong(HOUR) : random.nextInt(3);
      Entry entry = new Entry(Math.max(newest - back, until + 1), Integer.toString(random.nextInt(), 36));

      TransactionTree tree = new TransactionTree(held, pages, capacity);
      int index = entry.insertInto(list);
      long forgotten = tree.countUntil(until);
      assertEquals(index, tree.insert(entry.time, entry.id) - forgotten, "seed " + seed);
      long asked = entry.time - random.nextLong(HOUR);
      assertEquals(Entry.until(list, asked), Math.max(0, tree.countUntil(asked) - forgotten), "seed " + seed);
      int place = random.nextInt(list.size());
      assertEquals(list.get(place).time, tree.timeAt(forgotten + place), "seed " + seed);

      until = Math.max(until, newest - 2 * HOUR);
      list.subList(0, Entry.until(list, until)).clear();
      tree.dropUntil(until, 2);
      tree.write();
    }
    assertTrue(pages.stored.size() <= 3_000, "no page is left behind");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aDecisionCostsFewPagesHoweverManyAreHeld(boolean atOnce) throws Exception {
    int count = 60_000;
    int most = 0;
    for (int i = 0; i < count; i++) {
      TransactionTree tree = new TransactionTree(held, pages);
      pages.touched = 0;
      Transaction transaction = new Transaction();
      // In one millisecond, in no order of ids, or over 3 h and one in ten late.
      transaction.eventId = Integer.toString(random.nextInt(), 36);
      long late = random.nextInt(10) == 0 ? random.nextLong(3 * HOUR) : 0;
      transaction.eventTime = atOnce ? 0 : i * 3 * HOUR / count - late;
      new FraudRule(tree, Long.MIN_VALUE).decide(transaction);
      tree.write();
      most = Math.max(most, pages.touched);
    }
    assertTrue(most <= 20, most + " pages were read or written for one transaction");
  }

  @ParameterizedTest
  @ValueSource(ints = {4, TransactionTree.CAPACITY})
  void allThatIsForgottenIsTakenOutByAndBy(int capacity) throws Exception {
    int count = 10_000;
    TransactionTree tree = new TransactionTree(held, pages, capacity);
    for (int i = 0; i < count; i++) {
      tree.insert(random.nextLong(3 * HOUR), "t" + i);
    }
    tree.write();
    int most = 0;
    for (int i = 0; i < count; i++) {
      tree = new TransactionTree(held, pages, capacity);
      tree.insert(10 * HOUR + i, "t" + i);
      int before = pages.stored.size();
      tree.dropUntil(7 * HOUR, 2);
      tree.write();
      most = Math.max(most, before - pages.stored.size());
    }
    assertTrue(tree.countUntil(7 * HOUR) < capacity, "but what shares a page with those that stay");
    assertTrue(most <= 20, most + " pages went at once");
    tree.dropUntil(20 * HOUR, Integer.MAX_VALUE);
    assertEquals(Map.of(), pages.stored);
    assertEquals(0, held.root.size());
  }

  /** Where a page was written it is another object when it is read. */
  private static final class StoredPages implements TransactionTree.Pages {

    private final TypeSerializer<Page> serializer =
        Types.POJO(Page.class).createSerializer(new SerializerConfigImpl());
    private final Map<Long, Page> stored = new HashMap<>();
    private int touched;

    @Override
    public Page get(long key) {
      touched++;
      return serializer.copy(stored.get(key));
    }

    @Override
    public void put(long key, Page page) {
      touched++;
      stored.put(key, serializer.copy(page));
    }

    @Override
    public void remove(long key) {
      touched++;
      stored.remove(key);
    }
  }

  private record Entry(long time, String id) {

    private static final Comparator<Entry> ORDER = Comparator.comparingLong(Entry::time).thenComparing(Entry::id);

    int insertInto(List<Entry> list) {
      int at = list.size();
      while (at > 0 && ORDER.compare(list.get(at - 1), this) > 0) {
        at--;
      }
      list.add(at, this);
      return at;
    }

    static int until(List<Entry> list, long time) {
      return (int) list.stream().filter(entry -> entry.time <= time).count();
    }
  }
}
