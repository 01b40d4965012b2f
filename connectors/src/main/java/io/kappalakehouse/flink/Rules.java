package io.kappalakehouse.flink;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;

/** The numbers of the rules that {@code lakehouse.semantics.metrics} declares, from the resource that the build exports. */
public final class Rules {

  private static final String RESOURCE = "/rules.properties";
  private static final Properties NUMBERS = new Properties();

  static {
    try (InputStream stream = Rules.class.getResourceAsStream(RESOURCE)) {
      if (stream == null) {
        throw new IllegalStateException(RESOURCE + " is not in the jar: build it with mvn package");
      }
      NUMBERS.load(stream);
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
