package io.kappalakehouse.flink;

/** The validator of {@code shop.clicks}; see {@link ValidateFunction}. */
public final class ValidateClicks extends ValidateFunction {

  public ValidateClicks() {
    super("shop.clicks");
  }
}
