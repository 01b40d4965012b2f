package io.kappalakehouse.flink.live;

/** A valid event of a user, of either topic, with the position that decides between its copies. */
public class LiveEvent {

  public static final int IMPRESSION = 0;
  public static final int CLICK = 1;
  public static final int PURCHASE = 2;

  public String userId;
  public String eventId;
  /** Epoch milliseconds. */
  public long eventTime;

  /** Null: a page without a product. */
  public String productId;

  /** {@link #IMPRESSION}, {@link #CLICK} or {@link #PURCHASE}. */
  public int kind;

  public long amountCents;
  public int partition;
  public long offset;
  public long recordHash;

  /** What identifies an event of one user, whatever else its copies say. */
  String identity() {
    return (kind == PURCHASE ? 'p' : 'c') + Long.toString(eventTime, Character.MAX_RADIX) + ' ' + eventId;
  }

  /** What is kept of an event, to know its copies and to take it back. */
  Counted counted() {
    Counted counted = new Counted();
    counted.productId = productId;
    counted.kind = kind;
    counted.amountCents = amountCents;
    counted.partition = partition;
    counted.offset = offset;
    counted.recordHash = recordHash;
    return counted;
  }

  /** The copy of an event that counts: of all seen, the one with the lowest (partition, offset). */
  public static class Counted {

    public String productId;
    public int kind;
    public long amountCents;
    public int partition;
    public long offset;
    public long recordHash;

    boolean isBefore(Counted other) {
      return partition != other.partition ? partition < other.partition : offset < other.offset;
    }
  }
}
