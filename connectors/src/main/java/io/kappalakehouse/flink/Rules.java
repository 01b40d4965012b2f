package io.kappalakehouse.flink;

import io.kappalakehouse.Resources;
import java.io.IOException;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.util.Properties;

/** The numbers of the rules that {@code lakehouse.semantics.metrics} declares, from the resource that the build exports. */
public final class Rules {

  private static final Properties NUMBERS = new Properties();

  static {
    try {
      NUMBERS.load(new StringReader(Resources.read("/rules.properties")));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private Rules() {}

  /**
   * A number of a metric's rule, such as {@code gap_ms} of {@code sessions}.
   *
   * @throws IllegalArgumentException if the rule has no such number
   */
  public static long number(String metric, String name) {
    String number = NUMBERS.getProperty(metric + "." + name);
    if (number == null) {
      throw new IllegalArgumentException("no " + name + " of " + metric + " among " + NUMBERS.stringPropertyNames());
    }
    return Long.parseLong(number);
  }
}
