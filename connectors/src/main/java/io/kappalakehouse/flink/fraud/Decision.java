package io.kappalakehouse.flink.fraud;

/** What was decided about a transaction when it came, from those of its user that had come until then. */
public class Decision {

  public Transaction transaction;

  /** Transactions in the 10 minutes, or the hour, up to this one in the order, itself included. */
  public int transactions10m;

  public int transactions1h;

  public boolean flagged;

  /** It blocks the user for an hour from its time on, itself included. */
  public boolean trigger;

  public boolean blocked;

  /** Nothing that the rule looks at had been forgotten; if false, it decided by what was left. */
  public boolean stateComplete;

  /** Processing time, epoch milliseconds. */
  public long decidedAt;
}
