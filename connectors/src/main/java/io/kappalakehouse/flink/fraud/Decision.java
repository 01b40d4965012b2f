package io.kappalakehouse.flink.fraud;

/** What was decided about a transaction when it came, from those of its user that had come until then. */
public class Decision {

  public Transaction transaction;

  /** Transactions in the 10 minutes, or the hour, up to this one in the order, itself included. */
  public long transactions10m;

  public long transactions1h;

  public boolean flagged;

  public boolean blocked;

  /** Event time of the latest trigger of the last hour, of itself if it is one; null if none blocks it. */
  public Long triggerTime;

  /** Nothing that the rule looks at had been forgotten; if false, it decided by what was left. */
  public boolean stateComplete;

  /** Processing time, epoch milliseconds. */
  public long decidedAt;
}
