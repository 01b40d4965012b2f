package io.kappalakehouse.flink.fraud;

/**
 * A user's held transactions as versions before {@link HeldTransactions} wrote them: all in one value. Read from their
 * savepoints, never written.
 */
public class RecentTransactions {

  public long[] times = {};
  public String[] ids = {};
  public long forgottenUntil = Long.MIN_VALUE;
  public long expiresAt = Long.MIN_VALUE;
}
