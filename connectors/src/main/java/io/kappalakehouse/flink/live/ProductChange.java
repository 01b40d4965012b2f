package io.kappalakehouse.flink.live;

/** One event counted into a product's window, or taken back from it. */
public class ProductChange {

  public String productId;
  /** Epoch milliseconds. */
  public long windowStart;

  /** 1: counted; -1: taken back. */
  public int sign;

  public int kind;
  public long amountCents;
  public long recordHash;

  static ProductChange of(LiveEvent.Counted event, long windowStart, int sign) {
    ProductChange change = new ProductChange();
    change.productId = event.productId;
    change.windowStart = windowStart;
    change.sign = sign;
    change.kind = event.kind;
    change.amountCents = event.amountCents;
    change.recordHash = event.recordHash;
    return change;
  }
}
