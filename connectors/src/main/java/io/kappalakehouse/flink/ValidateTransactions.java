package io.kappalakehouse.flink;

/** The validator of {@code shop.transactions}; see {@link ValidateFunction}. */
public final class ValidateTransactions extends ValidateFunction {

  public ValidateTransactions() {
    super("shop.transactions");
  }
}
