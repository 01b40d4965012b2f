package io.kappalakehouse.flink.fraud;

/** A valid record of {@code shop.transactions}. Times are epoch milliseconds. */
public class Transaction {

  public String userId;
  public String eventId;
  public long eventTime;
  public long amountCents;
  public int partition;
  public long offset;
  public long arrival;
  public long recordHash;

  /** What identifies a transaction of one user, whatever else its copies say. */
  String identity() {
    return Long.toString(eventTime, Character.MAX_RADIX) + ' ' + eventId;
  }
}
