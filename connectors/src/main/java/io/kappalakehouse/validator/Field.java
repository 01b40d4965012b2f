package io.kappalakehouse.validator;

import java.io.Serializable;
import java.util.List;

/**
 * One payload field of a contract.
 *
 * @param allowed the only values, or empty
 * @param minimum the lowest integer, or null
 * @param maximum the highest integer, or null
 * @param notAfterArrival whether the time may lie only a clock's skew after the record's arrival
 */
public record Field(
    String name,
    Kind kind,
    boolean nullable,
    List<String> allowed,
    Long minimum,
    Long maximum,
    boolean notAfterArrival)
    implements Serializable {

  /** What a field holds on the wire. */
  public enum Kind {
    ID,
    STRING,
    INTEGER,
    TIME
  }
}
