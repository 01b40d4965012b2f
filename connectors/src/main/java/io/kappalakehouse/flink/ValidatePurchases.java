package io.kappalakehouse.flink;

/** The validator of {@code shop.purchases}; see {@link ValidateFunction}. */
public final class ValidatePurchases extends ValidateFunction {

  public ValidatePurchases() {
    super("shop.purchases");
  }
}
