package io.kappalakehouse.flink.fraud;

/**
 * What is held of one user's transactions: of most users all of it, as they fit into one page; of others the topmost page
 * of a {@link TransactionTree}, whose other pages lie beside it.
 */
public class HeldTransactions {

  public Page root = new Page();

  /** Levels of pages below the root. */
  public int height;

  /** Key of the next page. */
  public long nextPage;

  /** No transaction of the user after this event time was forgotten. */
  public long forgottenUntil = Long.MIN_VALUE;

  /** Event time at which nothing of this needs holding any more. */
  public long expiresAt = Long.MIN_VALUE;

  /** Processing time of the last transaction, and of the timer that looks whether that is too long ago. */
  public long usedAt = Long.MIN_VALUE;

  public long idleTimer = Long.MIN_VALUE;
}
