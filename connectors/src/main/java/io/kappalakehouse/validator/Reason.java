package io.kappalakehouse.validator;

import java.util.Locale;

/** Why a record is invalid, in the order in which it is tested. */
public enum Reason {
  NULL_VALUE,
  TOO_LARGE,
  NOT_UTF8,
  NOT_JSON,
  MISSING,
  WRONG_TYPE,
  OUT_OF_RANGE,
  KEY_MISMATCH;

  private final String wire = name().toLowerCase(Locale.ROOT);

  /** The reason as dead letters hold it. */
  public String wire() {
    return wire;
  }
}
